use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use watertight_core::{Mode, nanos};

use crate::counts::Counts;
use crate::plan::{CurrentPlan, Plan};
use crate::{Adaptive, TimeLimit, TimeoutConfig};

/// What all calls of a layer go by, whatever their key.
#[derive(Debug)]
pub(crate) struct Control {
    plan: CurrentPlan,
    config: ArcSwap<TimeoutConfig>,
    pub(crate) counts: Counts,
    start: Instant,
}

impl Control {
    pub(crate) fn new(config: TimeoutConfig, counts: Counts, now: Instant) -> Self {
        Self {
            plan: CurrentPlan::new(Plan::new(&config)),
            config: ArcSwap::from_pointee(config),
            counts,
            start: now,
        }
    }

    #[inline]
    pub(crate) fn plan(&self) -> Plan {
        self.plan.load()
    }

    pub(crate) fn config(&self) -> Arc<TimeoutConfig> {
        self.config.load_full()
    }

    /// Returns the settings of an adaptive limit, where it is one.
    pub(crate) fn adaptive(&self) -> Option<Adaptive> {
        match &self.config.load().limit {
            TimeLimit::Adaptive(adaptive) => Some(adaptive.clone()),
            TimeLimit::None | TimeLimit::Fixed(_) => None,
        }
    }

    /// Puts `config` in force, which is valid. One at a time.
    pub(crate) fn set(&self, config: TimeoutConfig) {
        let plan = Plan::new(&config);
        self.config.store(Arc::new(config));
        self.plan.store(plan);
    }

    /// Changes nothing but the mode. One at a time.
    pub(crate) fn set_mode(&self, mode: Mode) {
        let config = TimeoutConfig::clone(&self.config.load());
        self.set(TimeoutConfig { mode, ..config });
    }

    /// Returns how many nanoseconds have passed.
    #[inline(never)]
    pub(crate) fn now(&self) -> u64 {
        self.time(Instant::now())
    }

    /// Returns how many nanoseconds have passed at `now`.
    pub(crate) fn time(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }
}
