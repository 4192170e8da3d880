use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use watertight_core::{Budget, ConfigError, Mode, Name, Stripes};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use crate::counts::{Count, Counts};
use crate::machine::{Machine, Stripe, Way};
use crate::plan::Plan;
use crate::{HedgeConfig, HedgeSnapshot};

/// What all services of one layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    name: Name,
    machine: Arc<Machine>,
    budget: Budget,
    stripes: Stripes<Stripe>,
    /// One change at a time.
    hand: Mutex<()>,
    reporter: Reporter,
}

impl Shared {
    pub(crate) fn new(
        name: Name,
        config: HedgeConfig,
        budget: Budget,
        registry: &Registry,
    ) -> Arc<Self> {
        let reporter = registry.reporter(Counts::KIND, name);
        let counts = Counts::new(name, reporter.clone());
        let machine = Arc::new(Machine::new(config, counts, Instant::now()));
        let shared = Arc::new(Self {
            name,
            stripes: Stripes::new(|_| Stripe::new(&machine, &budget)),
            machine,
            budget,
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(crate) fn plan(&self) -> Plan {
        self.machine.plan()
    }

    #[inline]
    pub(crate) fn way(&self) -> Way {
        Way(Arc::clone(self.stripes.mine()))
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    pub(crate) fn budget(&self) -> &Budget {
        &self.budget
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.stripes.held()
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            self.machine.set_mode(mode, Instant::now());
        }
        self.reporter.mode_changed(mode);
    }

    pub(crate) fn reconfigure(&self, config: HedgeConfig) -> Result<(), ConfigError> {
        {
            let _hand = self.hand();
            self.machine.reconfigure(config, Instant::now())?;
        }
        self.reporter.config_changed();
        Ok(())
    }

    pub(crate) fn look(&self) -> HedgeSnapshot {
        let total = |count| self.machine.counts.total(count);
        HedgeSnapshot {
            mode: self.plan().mode(),
            delay: self.machine.delay(),
            sent: total(Count::Sent),
            won_by_hedge: total(Count::WonByHedge),
            won_by_primary: total(Count::WonByPrimary),
            refused_by_budget: total(Count::RefusedByBudget),
            sent_in_shadow: total(Count::SentInShadow),
        }
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Counts::KIND
    }

    fn name(&self) -> Name {
        self.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = self.machine.counts.snapshot();
        snapshot.mode = self.plan().mode();
        snapshot.in_flight = Some(self.in_flight() as u64);
        snapshot.config = self.machine.config().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.machine.counts.retire();
    }
}
