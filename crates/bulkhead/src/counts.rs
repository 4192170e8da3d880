use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Outcome, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Latency, LatencySnapshot, Reporter};

/// How often each thing has happened, and how long calls have waited.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(crate) struct Counts {
    kind: &'static str,
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
    /// Made with the first call that waits.
    waits: OnceLock<Latency>,
}

/// A call that waits, to be counted as cancelled if it is dropped before anybody has
/// [decided](Self::decided) on it.
#[derive(Debug)]
pub(crate) struct Undecided(Option<Arc<Counts>>);

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    /// Refused for want of a slot.
    Full,
    /// Refused after a wait.
    TimedOut,
    /// Refused for a deadline.
    TooLate,
    /// Would have been refused, or would have had to wait, but for [`Mode::Shadow`].
    FullInShadow,
}

impl Count {
    const ALL: usize = 8;

    const REFUSED: [(Reason, Mode, Self); 4] = [
        (Reason::BulkheadFull, Mode::Enforce, Self::Full),
        (Reason::QueueTimeout, Mode::Enforce, Self::TimedOut),
        (Reason::DeadlineExceeded, Mode::Enforce, Self::TooLate),
        (Reason::BulkheadFull, Mode::Shadow, Self::FullInShadow),
    ];

    pub(crate) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure(_) => Self::Failure,
            Outcome::Ignored => Self::Ignored,
        }
    }

    const fn of_refusal(reason: Reason) -> Self {
        match reason {
            Reason::QueueTimeout => Self::TimedOut,
            Reason::DeadlineExceeded => Self::TooLate,
            _ => Self::Full,
        }
    }
}

impl Counts {
    pub(crate) fn new(kind: &'static str, name: Name, reporter: Reporter) -> Self {
        Self {
            kind,
            name,
            reporter,
            counters: Counters::new(),
            waits: OnceLock::new(),
        }
    }

    pub(crate) const fn name(&self) -> Name {
        self.name
    }

    #[inline]
    pub(crate) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    /// Counts a refused call.
    pub(crate) fn refused(&self, reason: Reason) {
        self.add(Count::of_refusal(reason));
    }

    /// Notes how long a call has waited for its slot.
    pub(crate) fn waited(&self, time: Duration, now: Instant) {
        self.waits
            .get_or_init(|| Latency::new(now))
            .record(time, now);
    }

    /// Returns how long calls wait for their slots, of those that have to.
    pub(crate) fn waits(&self, now: Instant) -> Option<LatencySnapshot> {
        self.waits.get().map(|waits| waits.snapshot(now))
    }

    /// Returns a snapshot of what has been counted.
    pub(crate) fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(self.kind, self.name);
        snapshot.calls = CallCounts {
            success: self.total(Count::Success),
            failure: self.total(Count::Failure),
            ignored: self.total(Count::Ignored),
            cancelled: self.total(Count::Cancelled),
            ..CallCounts::default()
        };
        snapshot.set_rejections(
            Count::REFUSED.map(|(reason, mode, count)| (reason, mode, self.total(count))),
        );
        snapshot
    }

    /// Hands over what has been counted when the layer goes, with all that it knows. What comes
    /// later follows.
    pub(crate) fn retire(&self, last: InstanceSnapshot) {
        self.reporter.retired(last);
    }

    fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }
}

impl Undecided {
    pub(crate) fn new(counts: &Arc<Counts>) -> Self {
        Self(Some(Arc::clone(counts)))
    }

    pub(crate) fn decided(&mut self) {
        self.0 = None;
    }
}

impl Drop for Undecided {
    fn drop(&mut self) {
        if let Some(counts) = &self.0 {
            counts.add(Count::Cancelled);
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.reporter.retired(self.snapshot());
    }
}
