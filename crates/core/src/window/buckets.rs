use std::iter;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::time::Duration;

use tokio::time::Instant;

use super::run::FailureRun;
use super::standing::{Record, Recorded, Run, Standing, THOUSAND};
use super::sync::{AtomicI64, AtomicU32, AtomicU64};
use crate::nanos;

/// The calls of the last so long, in buckets of equal time.
///
/// Buckets are numbered without end, and each place holds the latest of those that are its own.
/// A new generation is a leap in the numbers which is longer than the window.
#[derive(Debug)]
pub(super) struct Buckets {
    epoch: Instant,
    width: u64,
    generation: AtomicU32,
    /// The generation that leaps are counted from.
    first: u32,
    /// The number of the latest bucket.
    head: AtomicU64,
    run: FailureRun,
    buckets: Box<[Bucket]>,
    calls: AtomicI64,
    /// In thousandths.
    weight: AtomicI64,
    slow: AtomicI64,
}

/// Each word is the low half of the bucket's number, and a sum.
#[derive(Debug, Default)]
struct Bucket {
    calls: Sum,
    weight: Sum,
    slow: Sum,
}

/// How far a generation leaps. A clock that steps back less does not come upon what was before.
const LEAP: u64 = 1 << 16;

impl Buckets {
    pub(super) fn new(span: Duration, buckets: u32, generation: u32, epoch: Instant) -> Self {
        let made = Self {
            epoch,
            width: nanos(span / buckets).max(1),
            generation: AtomicU32::new(generation),
            first: generation,
            head: AtomicU64::new(0),
            run: FailureRun::new(generation),
            buckets: iter::repeat_with(Bucket::default)
                .take(buckets as usize)
                .collect(),
            calls: AtomicI64::new(0),
            weight: AtomicI64::new(0),
            slow: AtomicI64::new(0),
        };
        made.move_on(made.number(generation, epoch));
        made
    }

    pub(super) fn begin(&self, generation: u32, now: Instant) {
        self.generation.store(generation, Release);
        self.run.begin(generation);
        let empty = self.head.load(Acquire) + self.buckets.len() as u64;
        self.move_on(self.number(generation, now).max(empty));
    }

    pub(super) fn record(&self, generation: u32, record: &Record, now: Instant) -> Recorded {
        // The head before the generation: a head of the next one goes with its generation.
        let head = self.head.load(Acquire);
        if self.generation.load(Acquire) != generation {
            return Recorded::Stale;
        }
        let number = self.number(generation, now).max(head);
        self.move_on(number);

        let bucket = self.bucket(number);
        let counted = bucket.calls.add(number, 1, &self.calls)
            && bucket
                .weight
                .add(number, record.thousandths(), &self.weight)
            && bucket.slow.add(number, record.slow.into(), &self.slow);
        if !counted {
            return Recorded::Stale;
        }
        match record.run {
            Run::Extend => self.run.extend(generation),
            Run::Break => self.run.cut(generation),
            Run::Keep => {}
        }
        Recorded::Standing(self.read())
    }

    pub(super) fn standing(&self, now: Instant) -> Standing {
        let head = self.head.load(Acquire);
        let generation = self.generation.load(Acquire);
        self.move_on(self.number(generation, now).max(head));
        self.read()
    }

    fn read(&self) -> Standing {
        // While a record is under way a total may be less than nothing.
        let weight = self.weight.load(Acquire).max(0);
        Standing {
            calls: self.calls.load(Acquire).max(0) as u64,
            failures: weight as f64 / THOUSAND,
            slow: self.slow.load(Acquire).max(0) as u64,
            consecutive_failures: self.run.count(),
        }
    }

    fn number(&self, generation: u32, now: Instant) -> u64 {
        let elapsed = nanos(now.saturating_duration_since(self.epoch)) / self.width;
        // From one lap on, so that the places of the first window are all in the past.
        let lap = self.buckets.len() as u64;
        lap + elapsed + LEAP * u64::from(generation.wrapping_sub(self.first))
    }

    fn bucket(&self, number: u64) -> &Bucket {
        &self.buckets[(number % self.buckets.len() as u64) as usize]
    }

    /// Empties the buckets up to `number` that the window has moved on to. Whoever is first to
    /// need a bucket does it, and so does everyone who cannot tell whether it is done.
    fn move_on(&self, number: u64) {
        let head = self.head.load(Acquire);
        if head >= number {
            return;
        }
        let oldest = (number + 1).saturating_sub(self.buckets.len() as u64);
        for number in oldest.max(head + 1)..=number {
            let bucket = self.bucket(number);
            bucket.calls.empty(number, &self.calls);
            bucket.weight.empty(number, &self.weight);
            bucket.slow.empty(number, &self.slow);
        }
        self.head.fetch_max(number, AcqRel);
    }
}

/// A sum in a bucket that knows whose it is: half a bucket's number, half a sum.
#[derive(Debug, Default)]
struct Sum(AtomicU64);

const TAG: u32 = 32;
const MOST: u64 = (1 << TAG) - 1;

impl Sum {
    /// Adds `count` to the sum and to `total`. Returns false if it is another bucket's now.
    fn add(&self, number: u64, count: u64, total: &AtomicI64) -> bool {
        if count == 0 {
            return true;
        }
        let added = |word| {
            (tag(word) == number as u32)
                .then(|| word & !MOST | (word & MOST).saturating_add(count).min(MOST))
        };
        match self.0.fetch_update(AcqRel, Acquire, added) {
            Ok(old) => {
                total.fetch_add(count.min(MOST - (old & MOST)) as i64, AcqRel);
                true
            }
            Err(_) => false,
        }
    }

    /// Makes it an empty sum of bucket `number`, unless it is that bucket's or a later one's.
    fn empty(&self, number: u64, total: &AtomicI64) {
        let emptied = |word| (!is_reached(word, number)).then_some(number << TAG);
        if let Ok(old) = self.0.fetch_update(AcqRel, Acquire, emptied)
            && old & MOST > 0
        {
            total.fetch_sub((old & MOST) as i64, AcqRel);
        }
    }
}

/// How much later than another a bucket may be to be told from an earlier one. The larger part of
/// all numbers is for earlier ones, since a window may be idle for long.
const LATEST: u32 = 1 << 28;

/// Whether the sum of `word` is of bucket `number` or of a later one.
fn is_reached(word: u64, number: u64) -> bool {
    tag(word).wrapping_sub(number as u32) < LATEST
}

fn tag(word: u64) -> u32 {
    (word >> TAG) as u32
}
