use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Name, Outcome};

use crate::{CallCounts, Instance, InstanceSnapshot, Latency, Registry, Reporter};

/// What all calls through one layer share. It lives until the last of them has ended, so that none
/// is missing in the metrics.
#[derive(Debug)]
pub(super) struct Shared {
    name: Name,
    counters: Counters<5>,
    latency: Latency,
    reporter: Reporter,
}

const STARTED: usize = 0;
const SUCCESS: usize = 1;
const FAILURE: usize = 2;
const IGNORED: usize = 3;
const CANCELLED: usize = 4;

impl Shared {
    const KIND: &'static str = "signals";

    pub(super) fn new(name: Name, registry: &Registry) -> Arc<Self> {
        let shared = Arc::new(Self {
            name,
            counters: Counters::new(),
            latency: Latency::new(Instant::now()),
            reporter: registry.reporter(Self::KIND, name),
        });
        registry.register(&shared);
        shared
    }

    pub(super) fn started(&self) {
        self.counters.add(STARTED, 1);
    }

    pub(super) fn ended(&self, outcome: &Outcome, took: Duration, now: Instant) {
        self.latency.record(took, now);
        let counter = match outcome {
            Outcome::Success => SUCCESS,
            Outcome::Failure(_) => FAILURE,
            Outcome::Ignored => IGNORED,
        };
        self.counters.add(counter, 1);
    }

    pub(super) fn cancelled(&self) {
        self.counters.add(CANCELLED, 1);
    }

    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight_beside(&self.calls())
    }

    fn calls(&self) -> CallCounts {
        let total = |counter| self.counters.total(counter);
        CallCounts {
            success: total(SUCCESS),
            failure: total(FAILURE),
            ignored: total(IGNORED),
            cancelled: total(CANCELLED),
            ..CallCounts::default()
        }
    }

    /// Those that `ended` are counted first, so that there are no fewer that started.
    fn in_flight_beside(&self, ended: &CallCounts) -> u64 {
        let ended: u64 = ended.named().iter().map(|(_, calls)| calls).sum();
        self.counters.total(STARTED).saturating_sub(ended)
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn name(&self) -> Name {
        self.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = InstanceSnapshot::new(Self::KIND, self.name);
        snapshot.calls = self.calls();
        snapshot.in_flight = Some(self.in_flight_beside(&snapshot.calls));
        snapshot.latency = Some(self.latency.snapshot(Instant::now()));
        snapshot.durations = Some(self.latency.counts());
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reporter.retired(self.snapshot());
    }
}
