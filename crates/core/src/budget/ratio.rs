use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::window::sync::{AtomicI64, AtomicU64};
use crate::window::{Progress, Sum};
use crate::{Padded, nanos, stripe_count, thread_number};

/// Allows so many extra attempts as there were first attempts within a window, times a ratio, and
/// some more.
///
/// First attempts are only counted, each thread in a stripe of its own, and nobody looks at the
/// clock. Whoever pays for an extra attempt does, and takes what came since the last look as if it
/// had come right then: an attempt may count for less long than the window, never for longer. An
/// extra attempt counts from when it is paid for until a window after it was sent, never for less.
#[derive(Debug)]
pub(super) struct Ratio {
    ratio: f64,
    floor: f64,
    epoch: Instant,
    /// In nanoseconds.
    step: u64,
    progress: Progress,
    stripes: Box<[Padded<Stripe>]>,
    /// The last [`Look`].
    look: AtomicU64,
    buckets: Box<[Bucket]>,
    /// The first attempts in all buckets.
    firsts: AtomicI64,
    /// The extra attempts in all buckets, and those that are paid for and not sent.
    extras: AtomicI64,
}

/// The first attempts of a thread.
#[derive(Debug)]
struct Stripe {
    count: AtomicU64,
    /// The count at which it is time for a look, so that what was counted in a long time without
    /// extra attempts does not all look as old as the last of those.
    due: AtomicU64,
    /// How far `due` was from the one before.
    interval: AtomicU64,
    /// When that was, in nanoseconds since the epoch.
    looked: AtomicU64,
}

/// What the stripes had counted when somebody looked (44 bits), and the position of that time (20).
#[derive(Clone, Copy, Debug)]
struct Look {
    position: u64,
    count: u64,
}

#[derive(Debug)]
struct Bucket {
    firsts: Sum,
    extras: Sum,
}

/// How many buckets the window has, if they are not too short then.
const BUCKETS: u64 = 64;

const MIN_STEP: u64 = 250_000;

/// After so many first attempts on a stripe it is time for a look, however soon that is. If a busy
/// service is nearly idle all of a sudden, what it did before is forgotten: so it is not more.
const MAX_INTERVAL: u64 = 1_024;

const COUNT_BITS: u32 = 44;
const COUNT: u64 = (1 << COUNT_BITS) - 1;

impl Ratio {
    pub(super) fn new(ratio: f64, min_per_second: f64, window: Duration, epoch: Instant) -> Self {
        Self::striped(ratio, min_per_second, window, epoch, stripe_count())
    }

    pub(super) fn striped(
        ratio: f64,
        min_per_second: f64,
        window: Duration,
        epoch: Instant,
        stripes: usize,
    ) -> Self {
        let buckets = (nanos(window) / MIN_STEP).clamp(1, BUCKETS);
        let step = nanos(window).div_ceil(buckets);
        // The one more is what makes a window of buckets never shorter than the window.
        let most = buckets + 1;
        let progress = Progress::new(Duration::from_nanos(step), most, 0, epoch);
        let look = Look {
            position: progress.latest(epoch, |_, _| {}),
            count: 0,
        };
        Self {
            ratio,
            floor: min_per_second * window.as_secs_f64(),
            epoch,
            step,
            progress,
            stripes: (0..stripes).map(|_| Padded(Stripe::new())).collect(),
            look: AtomicU64::new(look.bits()),
            buckets: (0..most).map(Bucket::empty).collect(),
            firsts: AtomicI64::new(0),
            extras: AtomicI64::new(0),
        }
    }

    /// Counts a first attempt. The clock is read once in a while.
    #[inline]
    pub(super) fn begin(&self, now: impl FnOnce() -> Instant) {
        self.begin_in(thread_number(), now);
    }

    #[inline]
    pub(super) fn begin_in(&self, thread: usize, now: impl FnOnce() -> Instant) {
        let stripe = &self.stripes[thread & (self.stripes.len() - 1)];
        let count = stripe.count.fetch_add(1, Relaxed) + 1;
        if count >= stripe.due.load(Relaxed) {
            self.look_for(stripe, count, now());
        }
    }

    /// Pays for an extra attempt, if there may be one more.
    pub(super) fn withdraw(&self, now: Instant) -> bool {
        self.look(now);
        let more = |extras| (extras < self.allowed()).then_some(extras + 1);
        self.extras.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    /// Sends what was paid for: from now on it counts for as long as the window.
    pub(super) fn send(&self, now: Instant) {
        loop {
            let position = self.progress.latest(now, self.make_way());
            if self.bucket(position).extras.add(position, 1, &self.extras) {
                break;
            }
        }
        // Until here it counts twice, but at no moment not at all.
        self.extras.fetch_sub(1, AcqRel);
    }

    /// Gives back what was paid for an attempt that is not sent.
    pub(super) fn give_back(&self) {
        self.extras.fetch_sub(1, AcqRel);
    }

    fn allowed(&self) -> i64 {
        let firsts = self.firsts.load(Acquire).max(0);
        whole(self.ratio * firsts as f64 + self.floor) as i64
    }

    /// Takes in what the stripes have counted since the last look, as of that time.
    fn look(&self, now: Instant) {
        loop {
            let bits = self.look.load(Acquire);
            let last = Look::from_bits(bits);
            // The time before the counts: what they leave out comes later.
            let position = self.progress.latest(now, self.make_way());
            let count: u64 = self
                .stripes
                .iter()
                .map(|stripe| stripe.count.load(Acquire))
                .fold(0, u64::wrapping_add);
            let look = Look {
                position,
                count: count & COUNT,
            };
            let looked = self
                .look
                .compare_exchange(bits, look.bits(), AcqRel, Acquire);
            if looked.is_ok() {
                self.add(last.position, count.wrapping_sub(last.count) & COUNT);
                return;
            }
        }
    }

    /// Counts what came at `position` or later. It is put in the bucket before: first attempts
    /// leave the window one bucket sooner than the extra ones, so that it is never too long for
    /// them. Those that are too old already are lost.
    fn add(&self, position: u64, count: u64) {
        let before = self.progress.previous(position);
        self.bucket(before).firsts.add(before, count, &self.firsts);
    }

    /// Looks because it is time to, and sets when it will be again: after about a bucket's time.
    #[cold]
    fn look_for(&self, stripe: &Stripe, count: u64, now: Instant) {
        self.look(now);
        let time = nanos(now.saturating_duration_since(self.epoch));
        let taken = time.saturating_sub(stripe.looked.swap(time, Relaxed));
        let interval = stripe.interval.load(Relaxed);
        let next = (interval * self.step / taken.max(1)).clamp(1, MAX_INTERVAL);
        stripe.interval.store(next, Relaxed);
        stripe.due.store(count + next, Relaxed);
    }

    fn bucket(&self, position: u64) -> &Bucket {
        &self.buckets[(position % self.buckets.len() as u64) as usize]
    }

    /// Empties the buckets that the window is about to move on to.
    fn make_way(&self) -> impl Fn(u64, u64) {
        |position, steps| {
            for step in 1..=steps {
                let next = self.progress.after(position, step);
                let old = self.progress.before(next);
                let bucket = self.bucket(next);
                bucket.firsts.replace(old, next, &self.firsts);
                bucket.extras.replace(old, next, &self.extras);
            }
        }
    }
}

/// Returns how many whole attempts `share` is. What is a whole number but for the rounding of its
/// parts, such as 0.29 times 100, is that number.
pub(super) fn whole(share: f64) -> u64 {
    (share + 1e-6) as u64
}

impl Stripe {
    fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            due: AtomicU64::new(1),
            interval: AtomicU64::new(1),
            looked: AtomicU64::new(0),
        }
    }
}

impl Look {
    fn from_bits(bits: u64) -> Self {
        Self {
            position: bits >> COUNT_BITS,
            count: bits & COUNT,
        }
    }

    fn bits(self) -> u64 {
        self.position << COUNT_BITS | self.count
    }
}

impl Bucket {
    fn empty(position: u64) -> Self {
        Self {
            firsts: Sum::empty(position),
            extras: Sum::empty(position),
        }
    }
}
