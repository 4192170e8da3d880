use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use std::time::Duration;

use tokio::time::Instant;

use crate::stripes::Seat;
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

/// After so many first attempts on a stripe it is time for a look, however soon that is. It is not
/// more because that many may be forgotten when a busy service is all but idle of a sudden.
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
            stripes: (0..Seat::count(stripes))
                .map(|_| Padded(Stripe::new()))
                .collect(),
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
        let seat = Seat::of(thread, self.stripes.len());
        let stripe = &self.stripes[seat.index];
        let count = stripe.add(seat.is_own);
        if count >= stripe.due.load(Relaxed) {
            self.look_for(stripe, count, now);
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
    fn look_for(&self, stripe: &Stripe, count: u64, now: impl FnOnce() -> Instant) {
        let now = now();
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
    /// Counts one more, and returns how many that makes.
    #[inline]
    fn add(&self, is_own: bool) -> u64 {
        if is_own {
            let count = self.count.load(Relaxed) + 1;
            self.count.store(count, Relaxed);
            count
        } else {
            self.count.fetch_add(1, Relaxed) + 1
        }
    }

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

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::cell::Cell;
    use std::collections::BTreeMap;
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::sample::Index;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);
    const WINDOW: Duration = Duration::from_secs(10);

    fn withdraw_all(ratio: &Ratio, now: Instant) -> usize {
        let mut paid = 0;
        while ratio.withdraw(now) {
            ratio.send(now);
            paid += 1;
        }
        paid
    }

    #[test]
    fn ten_thousand_calls_pay_for_their_share() {
        for (share, paid) in [
            (0.2, 2_000),
            (0.1, 1_000),
            (0.6, 6_000),
            (0.29, 2_900),
            (2.0, 20_000),
            (0.0001, 1),
            (0.0, 0),
        ] {
            let now = Instant::now();
            let ratio = Ratio::new(share, 0.0, WINDOW, now);
            for _ in 0..10_000 {
                ratio.begin(|| now);
            }

            assert_eq!(withdraw_all(&ratio, now), paid, "{share}");
        }
    }

    #[test]
    fn first_attempts_expire_and_the_floor_remains() {
        let start = Instant::now();
        let ratio = Ratio::new(0.2, 2.0, WINDOW, start);
        for _ in 0..100 {
            ratio.begin(|| start);
        }

        assert_eq!(withdraw_all(&ratio, start + 9 * SECOND), 40);
        assert_eq!(withdraw_all(&ratio, start + 10 * SECOND), 0);
        assert_eq!(withdraw_all(&ratio, start + 20 * SECOND), 20);
    }

    #[test]
    fn a_first_attempt_counts_no_longer_than_the_window() {
        let start = Instant::now();
        for bucket in 0..64 {
            let ratio = Ratio::new(1.0, 0.0, 64 * SECOND, start);
            let now = start + bucket * SECOND;
            assert!(!ratio.withdraw(now));
            ratio.begin(|| now);
            assert!(!ratio.withdraw(now + 64 * SECOND + MS));
        }
    }

    #[test]
    fn a_burst_after_a_quiet_year_is_no_larger_than_the_floor() {
        let start = Instant::now();
        let ratio = Ratio::new(0.1, 10.0, WINDOW, start);
        for _ in 0..1_000_000 {
            ratio.begin(|| start);
        }

        let later = start + Duration::from_secs(365 * 86_400);

        assert_eq!(withdraw_all(&ratio, later), 100);
        assert_eq!(withdraw_all(&ratio, later + 9 * SECOND), 0);
    }

    /// A healthy hour, in which nobody but the first attempts is there to look at the clock.
    #[test]
    fn what_a_healthy_hour_has_saved_up_is_there_when_it_ends() {
        for calls_per_second in [1, 3, 10, 100, 3_000] {
            let start = Instant::now();
            let ratio = Ratio::new(0.1, 0.0, WINDOW, start);
            let mut now = start;
            while now < start + 3_600 * SECOND {
                now += SECOND / calls_per_second;
                ratio.begin(|| now);
            }

            let paid = withdraw_all(&ratio, now);

            let most = calls_per_second as usize;
            assert!(
                (most * 9 / 10..=most).contains(&paid),
                "{paid} of {most} at {calls_per_second}/s"
            );
        }
    }

    #[test]
    fn a_busy_service_looks_at_the_clock_once_in_a_thousand_calls() {
        let start = Instant::now();
        let ratio = Ratio::striped(0.1, 0.0, WINDOW, start, 1);
        let looks = Cell::new(0);

        for call in 0..1_000_000 {
            ratio.begin(|| {
                looks.set(looks.get() + 1);
                start + call * Duration::from_nanos(100)
            });
        }

        assert!(looks.get() <= 1_000, "{}", looks.get());
    }

    #[test]
    fn what_is_paid_for_and_waits_counts_until_a_window_after_it_is_sent() {
        let start = Instant::now();
        let ratio = Ratio::new(0.0, 0.1, WINDOW, start);
        assert!(ratio.withdraw(start));

        let sent = start + 60 * SECOND;
        assert!(!ratio.withdraw(sent));
        ratio.send(sent);

        assert!(!ratio.withdraw(sent + WINDOW));
        assert!(ratio.withdraw(sent + WINDOW + WINDOW / 64));
    }

    #[test]
    fn what_is_given_back_is_there_again_whenever_that_is() {
        let start = Instant::now();
        let ratio = Ratio::new(0.0, 0.1, WINDOW, start);
        for rest in [0, 5, 10, 1_000_000] {
            let now = start + rest * SECOND;
            assert!(ratio.withdraw(now));
            assert!(!ratio.withdraw(now));

            ratio.give_back();
        }
    }

    #[test]
    fn threads_are_granted_no_more_than_they_have_paid_in() {
        const EACH: usize = 20_000;
        let now = Instant::now();
        let ratio = Ratio::new(0.1, 0.0, SECOND, now);

        let granted: usize = thread::scope(|scope| {
            let threads = [(); 4].map(|()| {
                scope.spawn(|| {
                    let mut granted = 0;
                    for call in 0..EACH {
                        ratio.begin(|| now);
                        if ratio.withdraw(now) {
                            if call % 3 == 0 {
                                ratio.give_back();
                            } else {
                                ratio.send(now);
                                granted += 1;
                            }
                        }
                    }
                    granted
                })
            });
            threads.map(|thread| thread.join().unwrap()).iter().sum()
        });

        assert!(granted <= 4 * EACH / 10);
        assert_eq!(granted + withdraw_all(&ratio, now), 4 * EACH / 10);
    }

    /// What happened, in the time that the machine has seen: the latest clock it has read.
    #[derive(Default)]
    struct Model {
        /// When first attempts came, at the earliest: the last look before.
        firsts: Vec<Duration>,
        /// All but what was given back.
        extras: BTreeMap<usize, Extra>,
    }

    struct Extra {
        paid: Duration,
        sent: Option<Duration>,
    }

    impl Model {
        fn firsts(&self, from: Duration, to: Duration) -> f64 {
            let within = |time: &&Duration| (from..=to).contains(time);
            self.firsts.iter().filter(within).count() as f64
        }

        /// Those that wait, and those that were sent since.
        fn extras(&self, since: Duration) -> f64 {
            let counts = |extra: &&Extra| extra.sent.is_none_or(|sent| sent >= since);
            self.extras.values().filter(counts).count() as f64
        }

        /// Looks at every window that ends with an extra attempt, by when they were paid for and by
        /// when they were sent.
        fn check(&self, share: f64, floor: f64, window: Duration) -> Result<(), TestCaseError> {
            let sent: Vec<_> = self
                .extras
                .values()
                .filter_map(|extra| Some((extra.sent?, extra.paid)))
                .collect();
            let paid = self.extras.values().map(|extra| (extra.paid, extra.paid));
            for times in [sent, paid.collect()] {
                for (end, _) in &times {
                    let start = end.saturating_sub(window);
                    let within = || {
                        times
                            .iter()
                            .filter(|(time, _)| (start..=*end).contains(time))
                    };
                    let last = within().map(|(_, paid)| *paid).max().unwrap_or_default();
                    let firsts = self.firsts(last.saturating_sub(window), last);

                    let most = share * firsts + floor + 1e-6;
                    prop_assert!(within().count() as f64 <= most, "{firsts} {end:?}");
                }
            }
            Ok(())
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        Begin { thread: usize, calls: usize },
        Withdraw,
        Send(Index),
        GiveBack(Index),
        Rest(Duration),
        TurnBack(Duration),
    }

    fn steps(window: Duration) -> impl Strategy<Value = Vec<Step>> {
        let bucket = window / BUCKETS as u32;
        let rest = prop_oneof![
            4 => (0..200_u32).prop_map(move |n| window * n / 1_000),
            3 => (0..3_u32, 0..24_u32).prop_map(move |(n, m)| window * n + bucket * m / 8),
            1 => (0..100_000_u32).prop_map(move |n| window * n),
        ];
        let step = prop_oneof![
            4 => (0..4_usize, 0..40_usize)
                .prop_map(|(thread, calls)| Step::Begin { thread, calls }),
            6 => Just(Step::Withdraw),
            4 => any::<Index>().prop_map(Step::Send),
            1 => any::<Index>().prop_map(Step::GiveBack),
            4 => rest.prop_map(Step::Rest),
            1 => (0..2_000_u32).prop_map(move |n| Step::TurnBack(window * n / 1_000)),
        ];
        vec(step, 0..300)
    }

    fn cases() -> impl Strategy<Value = (Duration, Vec<Step>)> {
        prop_oneof![
            Just(64 * 250 * MS / 1_000),
            Just(WINDOW),
            Just(3_600 * SECOND)
        ]
        .prop_flat_map(|window| (Just(window), steps(window)))
    }

    proptest! {
        #[test]
        fn in_no_window_are_there_more_than_allowed_nor_many_fewer(
            (window, steps) in cases(),
            share in prop_oneof![Just(0.0), Just(0.1), 0.0..2.0],
            floor in prop_oneof![Just(0.0), 0.0..20.0],
        ) {
            let start = Instant::now();
            let ratio = Ratio::striped(share, floor / window.as_secs_f64(), window, start, 4);
            let bucket = Duration::from_nanos(ratio.step);
            let seen = Cell::new(Duration::ZERO);
            let mut clock = Duration::ZERO;
            let mut looked = Duration::ZERO;
            let mut model = Model::default();
            let mut waiting = Vec::new();

            for (step, number) in steps.into_iter().zip(0..) {
                let now = || {
                    seen.set(seen.get().max(clock));
                    start + clock
                };
                match step {
                    Step::Rest(rest) => clock += rest,
                    Step::TurnBack(back) => clock = clock.saturating_sub(back),
                    Step::Begin { thread, calls } => {
                        for _ in 0..calls {
                            model.firsts.push(looked);
                            ratio.begin_in(thread, || {
                                let now = now();
                                looked = seen.get();
                                now
                            });
                        }
                    }
                    Step::Withdraw => {
                        let granted = ratio.withdraw(now());
                        let end = seen.get();
                        looked = end;
                        if granted {
                            waiting.push(number);
                            model.extras.insert(number, Extra { paid: end, sent: None });
                        } else {
                            let firsts =
                                model.firsts((end + 2 * bucket).saturating_sub(window), end);
                            let extras =
                                model.extras(end.saturating_sub(window + 2 * bucket));
                            prop_assert!(extras + 1.0 > share * firsts + floor);
                        }
                    }
                    Step::Send(index) if !waiting.is_empty() => {
                        let extra = waiting.swap_remove(index.index(waiting.len()));
                        ratio.send(now());
                        model.extras.get_mut(&extra).unwrap().sent = Some(seen.get());
                    }
                    Step::GiveBack(index) if !waiting.is_empty() => {
                        let extra = waiting.swap_remove(index.index(waiting.len()));
                        ratio.give_back();
                        model.extras.remove(&extra);
                    }
                    Step::Send(_) | Step::GiveBack(_) => {}
                }
            }

            model.check(share, floor, window)?;
        }
    }
}
