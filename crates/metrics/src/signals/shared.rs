use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Counters, Name, Outcome, Stripes};

use crate::{CallCounts, Instance, InstanceSnapshot, Latency, Registry, Reporter};

/// What all services of one layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: Name,
    stripes: Stripes<Arc<Measured>>,
    measured: Arc<Measured>,
    reporter: Reporter,
}

/// What calls leave behind.
#[derive(Debug)]
pub(crate) struct Measured {
    counters: Counters<4>,
    latency: Latency,
}

const SUCCESS: usize = 0;
const FAILURE: usize = 1;
const IGNORED: usize = 2;
const CANCELLED: usize = 3;

impl Shared {
    const KIND: &'static str = "signals";

    pub(crate) fn new(name: Name, registry: &Registry) -> Arc<Self> {
        let measured = Arc::new(Measured {
            counters: Counters::new(),
            latency: Latency::new(Instant::now()),
        });
        let shared = Arc::new(Self {
            name,
            stripes: Stripes::new(|_| Arc::clone(&measured)),
            measured,
            reporter: registry.reporter(Self::KIND, name),
        });
        registry.register(&shared);
        shared
    }

    pub(crate) fn stripes(&self) -> &Stripes<Arc<Measured>> {
        &self.stripes
    }
}

impl Measured {
    pub(crate) fn ended(&self, outcome: &Outcome, took: Duration, now: Instant) {
        self.latency.record(took, now);
        let counter = match outcome {
            Outcome::Success => SUCCESS,
            Outcome::Failure(_) => FAILURE,
            Outcome::Ignored => IGNORED,
        };
        self.counters.add(counter, 1);
    }

    pub(crate) fn cancelled(&self) {
        self.counters.add(CANCELLED, 1);
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
        let total = |counter| self.measured.counters.total(counter);
        let mut snapshot = InstanceSnapshot::new(Self::KIND, self.name);
        snapshot.calls = CallCounts {
            success: total(SUCCESS),
            failure: total(FAILURE),
            ignored: total(IGNORED),
            cancelled: total(CANCELLED),
            ..CallCounts::default()
        };
        snapshot.in_flight = Some(self.stripes.held() as u64);
        snapshot.latency = Some(self.measured.latency.snapshot(Instant::now()));
        snapshot.durations = Some(self.measured.latency.counts());
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.reporter.retired(&self.snapshot());
    }
}
