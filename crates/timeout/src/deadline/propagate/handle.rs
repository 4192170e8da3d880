use std::any::Any;
use std::fmt;
use std::sync::Arc;

use watertight_core::{ConfigError, Mode};
use watertight_metrics::{Handle, Instance};

use super::shared::Shared;
use super::{PropagateDeadlineConfig, PropagateDeadlineSnapshot};

/// A look at, and a hand on, a live layer that passes deadlines on. Cheap to clone.
///
/// From [`PropagateDeadlineLayer::handle`](crate::PropagateDeadlineLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry).
#[derive(Clone)]
pub struct PropagateDeadlineHandle {
    shared: Arc<Shared>,
}

impl PropagateDeadlineHandle {
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
    pub fn snapshot(&self) -> PropagateDeadlineSnapshot {
        self.shared.look()
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> PropagateDeadlineConfig {
        PropagateDeadlineConfig::clone(&self.shared.config())
    }

    /// Lets deadlines be passed on and calls be refused, or only counted, or does nothing.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force for the calls that come.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: PropagateDeadlineConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }
}

impl Handle for PropagateDeadlineHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for PropagateDeadlineHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropagateDeadlineHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
