use watertight_core::{Counters, FailureKind, Name, Outcome};
use watertight_metrics::{CallCounts, InstanceSnapshot, PatternCount, Reporter};

use crate::give_up::GiveUp;

/// How often each thing has happened.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(crate) struct Counts {
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::OWN + GiveUp::ALL.len() }>,
}

/// What is counted besides why calls were given up.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    Retry,
    /// A letter that did not fit.
    LostLetter,
}

impl Count {
    const OWN: usize = 6;
}

impl Counts {
    pub(crate) const KIND: &'static str = "retry";

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

    /// Counts a call by its last answer.
    #[inline]
    pub(crate) fn ended(&self, outcome: &Outcome) {
        self.add(match outcome {
            Outcome::Success => Count::Success,
            Outcome::Failure(failure) if failure.kind != FailureKind::Rejected => Count::Failure,
            Outcome::Failure(_) | Outcome::Ignored => Count::Ignored,
        });
    }

    pub(crate) fn gave_up(&self, why: GiveUp) {
        self.counters.add(Count::OWN + why as usize, 1);
    }

    pub(crate) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    pub(crate) fn given_up(&self, why: GiveUp) -> u64 {
        self.counters.total(Count::OWN + why as usize)
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
        let one = |metric, count| PatternCount {
            metric,
            label: None,
            count,
        };
        snapshot.counts = vec![
            one("watertight_retries_total", self.total(Count::Retry)),
            one(
                "watertight_retry_budget_exhausted_total",
                self.given_up(GiveUp::Budget),
            ),
            one(
                "watertight_retry_letters_lost_total",
                self.total(Count::LostLetter),
            ),
        ];
        snapshot.counts.extend(GiveUp::ALL.map(|why| PatternCount {
            metric: "watertight_retries_given_up_total",
            label: Some(("reason", why.as_str())),
            count: self.given_up(why),
        }));
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
        self.reporter.retired(self.snapshot());
    }
}
