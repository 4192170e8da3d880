use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Failure, Pending, Tally, nanos};

use crate::BreakerConfig;
#[cfg(watertight_loom)]
use {
    crate::sync::{AtomicU32, unpoisoned},
    std::sync::atomic::Ordering,
};

/// The settings in force, and the window that they ask for.
#[derive(Debug)]
pub(crate) struct Rules {
    pub(crate) config: BreakerConfig,
    pub(crate) tally: Arc<Tally>,
}

impl Rules {
    pub(crate) fn new(
        config: BreakerConfig,
        pending: Arc<Pending>,
        generation: u32,
        now: Instant,
    ) -> Self {
        Self {
            tally: Arc::new(Tally::with_pending(config.window, pending, generation, now)),
            config,
        }
    }

    /// After how many nanoseconds a call is slow; never, if slow calls are not configured.
    pub(crate) fn slow_after(&self) -> u64 {
        self.config.slow_call.map_or(u64::MAX, nanos)
    }

    /// Returns for how long `failure` opens the breaker by itself.
    pub(crate) fn obeyed(&self, failure: &Failure) -> Option<Duration> {
        failure
            .retry_after
            .filter(|after| self.config.obey_retry_after && !after.is_zero())
            .map(|after| after.min(BreakerConfig::MAX_OBEYED))
    }
}

/// [`Rules`] that calls read without a lock while somebody changes them.
#[cfg(not(watertight_loom))]
#[derive(Debug)]
pub(crate) struct SharedRules(arc_swap::ArcSwap<Rules>);

#[cfg(not(watertight_loom))]
impl SharedRules {
    pub(crate) fn new(rules: Rules) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(rules))
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<Rules>> {
        self.0.load()
    }

    pub(crate) fn store(&self, rules: Rules) {
        self.0.store(Arc::new(rules));
    }
}

/// The same under loom, which does not know `arc_swap`: all rules that there have been, and which
/// of them are in force.
#[cfg(watertight_loom)]
#[derive(Debug)]
pub(crate) struct SharedRules {
    all: std::sync::Mutex<Vec<Arc<Rules>>>,
    in_force: AtomicU32,
}

#[cfg(watertight_loom)]
impl SharedRules {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            all: std::sync::Mutex::new(vec![Arc::new(rules)]),
            in_force: AtomicU32::new(0),
        }
    }

    pub(crate) fn load(&self) -> Arc<Rules> {
        let in_force = self.in_force.load(Ordering::Acquire);
        Arc::clone(&unpoisoned(self.all.lock())[in_force as usize])
    }

    pub(crate) fn store(&self, rules: Rules) {
        let mut all = unpoisoned(self.all.lock());
        all.push(Arc::new(rules));
        let newest = all.len() as u32 - 1;
        drop(all);
        self.in_force.store(newest, Ordering::Release);
    }
}
