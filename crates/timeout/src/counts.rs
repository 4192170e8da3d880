use std::sync::OnceLock;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Outcome, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Latency, Reporter};

/// How often each thing has happened, and how long calls took.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(crate) struct Counts {
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
    /// Made with the first call that is timed for it.
    latency: OnceLock<Latency>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    TimedOut,
    DeadlineExceeded,
    NotReady,
    /// Would have been, but for [`Mode::Shadow`].
    TimedOutInShadow,
    DeadlineExceededInShadow,
    NotReadyInShadow,
    /// A call went on though its time was up.
    Explored,
}

impl Count {
    const ALL: usize = 11;

    /// A call that the layer ends for `reason`, or would end.
    const fn of(reason: Reason, mode: Mode) -> Self {
        let in_shadow = matches!(mode, Mode::Shadow);
        match (reason, in_shadow) {
            (Reason::TimedOut, false) => Self::TimedOut,
            (Reason::TimedOut, true) => Self::TimedOutInShadow,
            (Reason::NotReady, false) => Self::NotReady,
            (Reason::NotReady, true) => Self::NotReadyInShadow,
            (_, false) => Self::DeadlineExceeded,
            (_, true) => Self::DeadlineExceededInShadow,
        }
    }
}

/// For what reasons the layer ends calls.
const REASONS: [Reason; 3] = [Reason::TimedOut, Reason::DeadlineExceeded, Reason::NotReady];

impl Counts {
    pub(crate) const KIND: &'static str = "timeout";

    pub(crate) fn new(name: Name, reporter: Reporter) -> Self {
        Self {
            name,
            reporter,
            counters: Counters::new(),
            latency: OnceLock::new(),
        }
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    #[inline]
    pub(crate) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    /// Counts an answer.
    #[inline]
    pub(crate) fn answered(&self, outcome: &Outcome) {
        self.add(match outcome {
            Outcome::Success => Count::Success,
            Outcome::Failure(_) => Count::Failure,
            Outcome::Ignored => Count::Ignored,
        });
    }

    /// Counts a call that is ended or refused, or would be.
    #[cold]
    pub(crate) fn refused(&self, reason: Reason, mode: Mode) {
        self.add(Count::of(reason, mode));
        self.reporter.refused(reason, mode, Instant::now);
    }

    /// Notes how long a call took.
    pub(crate) fn took(&self, duration: Duration, now: Instant) {
        self.latency
            .get_or_init(|| Latency::new(now))
            .record(duration, now);
    }

    pub(crate) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    /// Returns how many calls were ended or refused for `reason`, or would have been.
    pub(crate) fn refusals(&self, reason: Reason, mode: Mode) -> u64 {
        self.total(Count::of(reason, mode))
    }

    /// Returns how many were in this mode, for whatever reason.
    pub(crate) fn all_refusals(&self, mode: Mode) -> u64 {
        REASONS
            .iter()
            .map(|reason| self.refusals(*reason, mode))
            .sum()
    }

    /// Returns a snapshot of what has been counted.
    pub(crate) fn snapshot(&self, now: Instant) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(Self::KIND, self.name);
        snapshot.calls = CallCounts {
            success: self.total(Count::Success),
            failure: self.total(Count::Failure),
            ignored: self.total(Count::Ignored),
            cancelled: self.total(Count::Cancelled),
            ..CallCounts::default()
        };
        snapshot.set_rejections(
            [Mode::Enforce, Mode::Shadow]
                .into_iter()
                .flat_map(|mode| REASONS.map(|reason| (reason, mode, self.refusals(reason, mode)))),
        );
        if let Some(latency) = self.latency.get() {
            snapshot.latency = Some(latency.snapshot(now));
            snapshot.durations = Some(latency.counts());
        }
        snapshot
    }

    /// Hands over what has been counted when the layer goes, with all that it knows. What comes
    /// later follows.
    pub(crate) fn retire(&self, last: InstanceSnapshot) {
        self.reporter.retired(last);
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.reporter.retired(self.snapshot(Instant::now()));
    }
}
