use tokio::time::Instant;
use watertight_core::{Counters, Name};
use watertight_metrics::{CallCounts, InstanceSnapshot, PatternCount, Reporter};

/// How often each thing has happened.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(crate) struct Counts {
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    /// A hedge was sent.
    Sent,
    /// A call with a hedge was answered by its first attempt.
    WonByPrimary,
    /// A call was answered by a hedge.
    WonByHedge,
    /// The budget allowed no hedge.
    RefusedByBudget,
    /// Would have been sent, but for [`Mode::Shadow`](watertight_core::Mode::Shadow).
    SentInShadow,
}

impl Count {
    const ALL: usize = 9;
}

impl Counts {
    pub(crate) const KIND: &'static str = "hedge";

    pub(crate) fn new(name: Name, reporter: Reporter) -> Self {
        Self {
            name,
            reporter,
            counters: Counters::new(),
        }
    }

    #[inline]
    pub(crate) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    pub(crate) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    /// Counts a hedge for which there was no budget.
    #[cold]
    pub(crate) fn refused(&self) {
        self.add(Count::RefusedByBudget);
        self.reporter.budget_exhausted(Instant::now());
    }

    /// Returns a snapshot of what has been counted.
    pub(crate) fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(Self::KIND, self.name);
        snapshot.calls = CallCounts {
            success: self.total(Count::Success),
            failure: self.total(Count::Failure),
            ignored: self.total(Count::Ignored),
            cancelled: self.total(Count::Cancelled),
            ..CallCounts::default()
        };
        snapshot.counts = vec![
            self.won("primary", Count::WonByPrimary),
            self.won("hedge", Count::WonByHedge),
        ];
        snapshot
    }

    /// Hands over what has been counted: when the layer goes, and when its last call has ended.
    pub(crate) fn retire(&self) {
        self.reporter.retired(self.snapshot());
    }

    fn won(&self, winner: &'static str, count: Count) -> PatternCount {
        PatternCount {
            metric: "watertight_hedges_total",
            label: Some(("winner", winner)),
            count: self.total(count),
        }
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.retire();
    }
}
