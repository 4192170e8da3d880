use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Outcome, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Latency, LatencySnapshot, Reporter};

/// How often each thing has happened.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(super) struct Counts {
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
    /// How many calls wait.
    waiting: AtomicUsize,
    /// How long they do. Made with the first.
    waits: OnceLock<Latency>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    /// Had to wait, and was made then.
    Delayed,
    Refused,
    /// Would have had to wait, but for [`Mode::Shadow`].
    RefusedInShadow,
}

impl Count {
    const ALL: usize = 7;

    pub(super) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure(_) => Self::Failure,
            Outcome::Ignored => Self::Ignored,
        }
    }
}

impl Counts {
    pub(super) const KIND: &'static str = "obey_server";

    pub(super) fn new(name: Name, reporter: Reporter) -> Self {
        Self {
            name,
            reporter,
            counters: Counters::new(),
            waiting: AtomicUsize::new(0),
            waits: OnceLock::new(),
        }
    }

    pub(super) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    pub(super) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    /// Counts a call that is refused, or would have been.
    #[cold]
    pub(super) fn refused(&self, mode: Mode) {
        self.add(match mode {
            Mode::Shadow => Count::RefusedInShadow,
            Mode::Enforce | Mode::Off => Count::Refused,
        });
        self.reporter
            .refused(Reason::RateLimited, mode, Instant::now);
    }

    /// Counts a call that begins to wait.
    pub(super) fn waits(&self) {
        self.waiting.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts a call that waits no longer.
    pub(super) fn waits_no_longer(&self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }

    /// Counts a call that has waited for its turn.
    pub(super) fn waited(&self, time: Duration, now: Instant) {
        self.add(Count::Delayed);
        let waits = self.waits.get_or_init(|| Latency::new(now));
        waits.record(time, now);
    }

    /// Returns how many calls wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Returns how long calls wait, of those that have to.
    pub(super) fn queue_wait(&self, now: Instant) -> Option<LatencySnapshot> {
        self.waits.get().map(|waits| waits.snapshot(now))
    }

    /// Returns a snapshot of what has been counted.
    pub(super) fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(Self::KIND, self.name);
        snapshot.calls = CallCounts {
            success: self.total(Count::Success),
            failure: self.total(Count::Failure),
            ignored: self.total(Count::Ignored),
            cancelled: self.total(Count::Cancelled),
            ..CallCounts::default()
        };
        let refused = [
            (Mode::Enforce, Count::Refused),
            (Mode::Shadow, Count::RefusedInShadow),
        ];
        snapshot.set_rejections(
            refused.map(|(mode, count)| (Reason::RateLimited, mode, self.total(count))),
        );
        snapshot
    }

    /// Hands over what has been counted: when the layer goes, and when its last call has ended.
    pub(super) fn retire(&self) {
        self.reporter.retired(self.snapshot());
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.retire();
    }
}
