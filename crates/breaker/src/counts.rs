use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Mode, Name, Reason};
use watertight_metrics::{CallCounts, InstanceSnapshot, Latency, Reporter, TransitionCount};

use crate::State;

/// How often each thing has happened, and how long calls took.
///
/// It lives until the last call has ended, which may outlive all services of its layer.
#[derive(Debug)]
pub(crate) struct Counts {
    name: Name,
    reporter: Reporter,
    counters: Counters<{ Count::ALL }>,
    transitions: [[AtomicU64; State::COUNT]; State::COUNT],
    /// Made with the first call that is timed.
    latency: OnceLock<Latency>,
}

/// What is counted.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    Success,
    Failure,
    Ignored,
    Cancelled,
    Stale,
    Rejected,
    /// Would have been rejected, but for [`Mode::Shadow`](watertight_core::Mode::Shadow).
    RejectedInShadow,
}

impl Count {
    const ALL: usize = 7;

    #[cfg(all(test, not(watertight_loom)))]
    pub(crate) const EACH: [Self; Self::ALL] = [
        Self::Success,
        Self::Failure,
        Self::Ignored,
        Self::Cancelled,
        Self::Stale,
        Self::Rejected,
        Self::RejectedInShadow,
    ];
}

impl Counts {
    pub(crate) const KIND: &'static str = "breaker";

    pub(crate) fn new(name: Name, reporter: Reporter) -> Self {
        Self {
            name,
            reporter,
            counters: Counters::new(),
            transitions: Default::default(),
            latency: OnceLock::new(),
        }
    }

    pub(crate) fn add(&self, count: Count) {
        self.add_many(count, 1);
    }

    pub(crate) fn add_many(&self, count: Count, n: u64) {
        self.counters.add(count as usize, n);
    }

    pub(crate) fn total(&self, count: Count) -> u64 {
        self.counters.total(count as usize)
    }

    pub(crate) fn add_transition(&self, from: State, to: State) {
        self.transitions[from as usize][to as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// Notes how long a call took.
    pub(crate) fn took(&self, duration: Duration, now: Instant) {
        self.latency
            .get_or_init(|| Latency::new(now))
            .record(duration, now);
    }

    /// Returns a snapshot of what has been counted.
    pub(crate) fn snapshot(&self, now: Instant) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(Self::KIND, self.name);
        snapshot.calls = CallCounts {
            success: self.total(Count::Success),
            failure: self.total(Count::Failure),
            ignored: self.total(Count::Ignored),
            cancelled: self.total(Count::Cancelled),
            stale: self.total(Count::Stale),
            ..CallCounts::default()
        };
        let rejected = [
            (Mode::Enforce, Count::Rejected),
            (Mode::Shadow, Count::RejectedInShadow),
        ];
        snapshot.set_rejections(
            rejected.map(|(mode, count)| (Reason::CircuitOpen, mode, self.total(count))),
        );
        snapshot.transitions = self.transitions();
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

    /// Returns the transitions that have happened.
    fn transitions(&self) -> Vec<TransitionCount> {
        let mut happened = Vec::new();
        for from in State::ALL {
            for to in State::ALL {
                let count = self.transitions[from as usize][to as usize].load(Ordering::Relaxed);
                if count > 0 {
                    happened.push(TransitionCount {
                        from: from.as_str(),
                        to: to.as_str(),
                        count,
                    });
                }
            }
        }
        happened
    }
}

impl Drop for Counts {
    fn drop(&mut self) {
        self.reporter.retired(self.snapshot(Instant::now()));
    }
}
