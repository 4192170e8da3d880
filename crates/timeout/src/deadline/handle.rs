use std::any::Any;
use std::fmt;
use std::sync::Arc;

use watertight_core::{ConfigError, Mode};
use watertight_metrics::{Handle, Instance};

use super::shared::Shared;
use super::{DeadlineConfig, DeadlineSnapshot};

/// A look at, and a hand on, a live layer of deadlines. Cheap to clone.
///
/// From [`DeadlineLayer::handle`](crate::DeadlineLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry).
#[derive(Clone)]
pub struct DeadlineHandle {
    shared: Arc<Shared>,
}

impl DeadlineHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the layer's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns a look at the layer.
    #[must_use]
    pub fn snapshot(&self) -> DeadlineSnapshot {
        self.shared.look()
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> DeadlineConfig {
        self.shared.config()
    }

    /// Returns how many calls have come in and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// Lets calls be refused and ended, or only counted, or does nothing. Calls in flight go on as
    /// they began.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force for the calls that come.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: DeadlineConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }
}

impl Handle for DeadlineHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for DeadlineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
