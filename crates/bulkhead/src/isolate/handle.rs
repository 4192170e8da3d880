use std::any::Any;
use std::fmt;
use std::sync::Arc;

use watertight_core::{ConfigError, Mode};
use watertight_metrics::Handle;

use super::config::IsolateConfig;
use super::shared::Shared;
use crate::BulkheadSnapshot;

/// A look at, and a hand on, a live [`IsolateLayer`](crate::IsolateLayer). Cheap to clone.
///
/// From [`IsolateLayer::handle`](crate::IsolateLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry).
#[derive(Clone)]
pub struct IsolateHandle {
    shared: Arc<Shared>,
}

impl IsolateHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the layer's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns a look at the layer. It has no partitions.
    #[must_use]
    pub fn snapshot(&self) -> BulkheadSnapshot {
        self.shared.look()
    }

    /// Returns how many calls may run at once.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.snapshot().limit
    }

    /// Returns how many calls run, with those that nobody waits for any more but cannot be stopped.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.snapshot().in_flight
    }

    /// Returns how many calls wait for another to end.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.snapshot().queued
    }

    /// Returns the share of the slots that is in use.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        self.snapshot().utilization
    }

    /// Puts another limit in force. No call is ended: where more than `limit` run, as many of those
    /// that end make no room.
    ///
    /// # Errors
    ///
    /// If `limit` is 0. Then the old one stays in force.
    pub fn resize(&self, limit: usize) -> Result<(), ConfigError> {
        self.shared.reconfigure(|config| IsolateConfig {
            limit,
            ..config.clone()
        })
    }

    /// Lets calls run apart and refuses those for which there is no place, only counts those, or
    /// lets all calls run where they are made.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force while calls run. Those that wait do so for as long as they were told.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: IsolateConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(|_| config)
    }
}

impl Handle for IsolateHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for IsolateHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolateHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
