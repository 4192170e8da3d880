use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Outcome, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Reporter};

/// How often each thing has happened.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
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
    /// A call was refused, since too little time was left.
    Expired,
    /// A call was ended at its deadline.
    CutOff,
    /// A call was served although its caller said that no time was left.
    Spared,
    /// Would have been, but for [`Mode::Shadow`].
    ExpiredInShadow,
    CutOffInShadow,
}

impl Count {
    const ALL: usize = 9;

    /// What an answer counts as.
    pub(super) const fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure(_) => Self::Failure,
            Outcome::Ignored => Self::Ignored,
        }
    }
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

    #[inline]
    pub(super) fn add(&self, count: Count) {
        self.counters.add(count as usize, 1);
    }

    pub(super) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    /// Counts an answer.
    #[inline]
    pub(super) fn answered(&self, outcome: &Outcome) {
        self.add(Count::of(outcome));
    }

    /// Counts a call that is refused, or would be, since too little time is left.
    #[cold]
    pub(super) fn expired(&self, mode: Mode) {
        self.refused(mode, Count::Expired, Count::ExpiredInShadow);
    }

    /// Counts a call that is ended, or would have been, at its deadline.
    #[cold]
    pub(super) fn cut_off(&self, mode: Mode) {
        self.refused(mode, Count::CutOff, Count::CutOffInShadow);
    }

    fn refused(&self, mode: Mode, enforced: Count, in_shadow: Count) {
        self.add(match mode {
            Mode::Shadow => in_shadow,
            Mode::Enforce | Mode::Off => enforced,
        });
        self.reporter
            .refused(Reason::DeadlineExceeded, mode, Instant::now);
    }

    /// Returns a snapshot of what has been counted.
    pub(super) fn snapshot(&self) -> InstanceSnapshot {
        let total = |count| self.total(count);
        let late = |mode, count| (Reason::DeadlineExceeded, mode, count);
        let rejected = total(Count::Expired) + total(Count::CutOff);
        let in_shadow = total(Count::ExpiredInShadow) + total(Count::CutOffInShadow);
        let mut snapshot = InstanceSnapshot::new(self.kind, self.name);
        snapshot.calls = CallCounts {
            success: total(Count::Success),
            failure: total(Count::Failure),
            ignored: total(Count::Ignored),
            cancelled: total(Count::Cancelled),
            ..CallCounts::default()
        };
        snapshot.set_rejections([late(Mode::Enforce, rejected), late(Mode::Shadow, in_shadow)]);
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
