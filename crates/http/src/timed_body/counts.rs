use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Outcome, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Reporter};

/// How often each thing has happened.
///
/// It lives until the last body has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(super) struct Counts {
    kind: &'static str,
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(super) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    TimedOut,
    /// It would have been, but for [`Mode::Shadow`].
    InShadow,
}

impl Count {
    const ALL: usize = 6;
}

impl Counts {
    pub(super) fn new(kind: &'static str, name: Name, reporter: Reporter) -> Self {
        Self {
            kind,
            name,
            reporter,
            counters: Counters::new(),
        }
    }

    pub(super) const fn name(&self) -> Name {
        self.name
    }

    pub(super) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    pub(super) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    pub(super) fn ended(&self, outcome: &Outcome) {
        self.add(match outcome {
            Outcome::Success => Count::Success,
            Outcome::Failure(_) => Count::Failure,
            Outcome::Ignored => Count::Ignored,
        });
    }

    /// Counts a body that is too slow.
    #[cold]
    pub(super) fn timed_out(&self, mode: Mode) {
        self.add(match mode {
            Mode::Shadow => Count::InShadow,
            Mode::Enforce | Mode::Off => Count::TimedOut,
        });
        self.reporter.refused(Reason::TimedOut, mode, Instant::now);
    }

    /// Returns a snapshot of what has been counted.
    pub(super) fn snapshot(&self) -> InstanceSnapshot {
        let total = |count| self.total(count);
        let mut snapshot = InstanceSnapshot::new(self.kind, self.name);
        snapshot.calls = CallCounts {
            success: total(Count::Success),
            failure: total(Count::Failure),
            ignored: total(Count::Ignored),
            cancelled: total(Count::Cancelled),
            ..CallCounts::default()
        };
        snapshot.set_rejections([
            (Reason::TimedOut, Mode::Enforce, total(Count::TimedOut)),
            (Reason::TimedOut, Mode::Shadow, total(Count::InShadow)),
        ]);
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
