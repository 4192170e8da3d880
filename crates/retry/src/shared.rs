use std::sync::Arc;

use watertight_core::{Name, Stripes};
use watertight_metrics::{Instance, InstanceSnapshot, Registry};

use crate::counts::Counts;
use crate::machine::Machine;
use crate::way::Way;

/// What all services of one layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    machine: Arc<Machine>,
    stripes: Stripes<Way>,
}

impl Shared {
    pub(crate) fn new(machine: Machine, registry: &Registry) -> Arc<Self> {
        let machine = Arc::new(machine);
        let shared = Arc::new(Self {
            stripes: Stripes::new(|_| Way(Arc::clone(&machine))),
            machine,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(crate) fn stripes(&self) -> &Stripes<Way> {
        &self.stripes
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.stripes.held()
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Counts::KIND
    }

    fn name(&self) -> Name {
        self.machine.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = self.machine.snapshot();
        snapshot.in_flight = Some(self.in_flight() as u64);
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.machine.counts.retire(self.machine.snapshot());
    }
}
