use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Counters;
use watertight_metrics::{Latency, TransitionCount};

use crate::State;

/// How often each thing has happened, and how long calls took.
#[derive(Debug)]
pub(crate) struct Counts {
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
}

impl Counts {
    pub(crate) fn new() -> Self {
        Self {
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

    pub(crate) fn latency(&self) -> Option<&Latency> {
        self.latency.get()
    }

    /// Returns the transitions that have happened.
    pub(crate) fn transitions(&self) -> Vec<TransitionCount> {
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
