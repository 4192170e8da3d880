use std::sync::atomic::Ordering::Acquire;
use std::time::Duration;

use tokio::time::Instant;

use super::progress::Progress;
use super::run::FailureRun;
use super::standing::{Record, Recorded, Run, Standing, THOUSAND};
use super::sum::Sum;
use super::sync::AtomicI64;

/// The calls of the last so long, in buckets of equal time.
///
/// Each position that the window comes to has a bucket, which stays in its place until the window
/// comes to that place again.
#[derive(Debug)]
pub(super) struct Buckets {
    progress: Progress,
    run: FailureRun,
    buckets: Box<[Bucket]>,
    calls: AtomicI64,
    /// In thousandths.
    weight: AtomicI64,
    slow: AtomicI64,
}

#[derive(Debug)]
struct Bucket {
    calls: Sum,
    weight: Sum,
    slow: Sum,
}

impl Buckets {
    pub(super) fn new(span: Duration, buckets: u32, generation: u32, epoch: Instant) -> Self {
        Self {
            progress: Progress::new(span / buckets, buckets.into(), generation, epoch),
            run: FailureRun::new(generation),
            buckets: (0..buckets.into()).map(Bucket::empty).collect(),
            calls: AtomicI64::new(0),
            weight: AtomicI64::new(0),
            slow: AtomicI64::new(0),
        }
    }

    pub(super) fn begin(&self, generation: u32, now: Instant) {
        self.run.begin(generation);
        self.progress.begin(generation, now, self.make_way());
    }

    pub(super) fn record(&self, generation: u32, record: &Record, now: Instant) -> Recorded {
        let Some(position) = self.progress.position(generation, now, self.make_way()) else {
            return Recorded::Stale;
        };
        let bucket = self.bucket(position);
        let counted = bucket.calls.add(position, 1, &self.calls)
            && bucket
                .weight
                .add(position, record.thousandths(), &self.weight)
            && bucket.slow.add(position, record.slow.into(), &self.slow);
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
        self.progress.latest(now, self.make_way());
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

    fn bucket(&self, position: u64) -> &Bucket {
        &self.buckets[(position % self.buckets.len() as u64) as usize]
    }

    /// Empties the buckets that the window is about to move on to. Whoever is first to need one
    /// does it, and so does everyone who cannot tell whether it is done.
    fn make_way(&self) -> impl Fn(u64, u64) {
        |position, steps| {
            for step in 1..=steps {
                let next = self.progress.after(position, step);
                let old = self.progress.before(next);
                let bucket = self.bucket(next);
                bucket.calls.replace(old, next, &self.calls);
                bucket.weight.replace(old, next, &self.weight);
                bucket.slow.replace(old, next, &self.slow);
            }
        }
    }
}

impl Bucket {
    fn empty(position: u64) -> Self {
        Self {
            calls: Sum::empty(position),
            weight: Sum::empty(position),
            slow: Sum::empty(position),
        }
    }
}
