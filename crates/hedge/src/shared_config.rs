use std::sync::Arc;

use crate::HedgeConfig;
#[cfg(watertight_loom)]
use std::sync::{Mutex, PoisonError, atomic::Ordering};

/// The settings in force, which are read without a lock while somebody changes them.
#[cfg(not(watertight_loom))]
#[derive(Debug)]
pub(crate) struct SharedConfig(arc_swap::ArcSwap<HedgeConfig>);

#[cfg(not(watertight_loom))]
impl SharedConfig {
    pub(crate) fn new(config: HedgeConfig) -> Self {
        Self(arc_swap::ArcSwap::from_pointee(config))
    }

    pub(crate) fn load(&self) -> arc_swap::Guard<Arc<HedgeConfig>> {
        self.0.load()
    }

    pub(crate) fn store(&self, config: HedgeConfig) {
        self.0.store(Arc::new(config));
    }
}

/// The same under loom, which does not know `arc_swap`: all settings that there have been, and which
/// of them are in force.
#[cfg(watertight_loom)]
#[derive(Debug)]
pub(crate) struct SharedConfig {
    all: Mutex<Vec<Arc<HedgeConfig>>>,
    in_force: loom::sync::atomic::AtomicUsize,
}

#[cfg(watertight_loom)]
impl SharedConfig {
    pub(crate) fn new(config: HedgeConfig) -> Self {
        Self {
            all: Mutex::new(vec![Arc::new(config)]),
            in_force: loom::sync::atomic::AtomicUsize::new(0),
        }
    }

    pub(crate) fn load(&self) -> Arc<HedgeConfig> {
        let in_force = self.in_force.load(Ordering::SeqCst);
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&all[in_force])
    }

    pub(crate) fn store(&self, config: HedgeConfig) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(Arc::new(config));
        let newest = all.len() - 1;
        drop(all);
        self.in_force.store(newest, Ordering::SeqCst);
    }
}
