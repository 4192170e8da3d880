use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use watertight_core::{Budget, ConfigError, Mode};
use watertight_metrics::Handle;

use crate::shared::Shared;
use crate::{HedgeConfig, HedgeSnapshot};

/// A look at, and a hand on, a live hedge. Cheap to clone.
///
/// From [`HedgeLayer::handle`](crate::HedgeLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry):
///
/// ```
/// use watertight_core::Mode;
/// use watertight_hedge::{HedgeHandle, HedgeLayer};
/// use watertight_metrics::Registry;
///
/// let registry = Registry::new();
/// let layer = HedgeLayer::builder("search").registry(&registry).build();
///
/// let handle: HedgeHandle = registry.find("search").unwrap();
/// handle.set_mode(Mode::Shadow);
/// assert_eq!(layer.handle().snapshot().mode, Mode::Shadow);
/// ```
#[derive(Clone)]
pub struct HedgeHandle {
    shared: Arc<Shared>,
}

impl HedgeHandle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the hedge's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        watertight_metrics::Instance::name(&*self.shared).as_str()
    }

    /// Returns a look at the hedge.
    #[must_use]
    pub fn snapshot(&self) -> HedgeSnapshot {
        self.shared.look()
    }

    /// Returns after what time a call is hedged now. `None` if that is not known yet, or never.
    #[must_use]
    pub fn delay(&self) -> Option<Duration> {
        self.shared.machine().delay()
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> HedgeConfig {
        HedgeConfig::clone(&self.shared.machine().config())
    }

    /// Returns the budget that hedges are paid from, to be shared with other layers.
    #[must_use]
    pub fn budget(&self) -> Budget {
        self.shared.budget().clone()
    }

    /// Returns how many calls have come and not ended, each with all its attempts.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// Lets hedges be sent, or only counted, or does nothing. Calls in flight go on as they began.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force for the calls that come. What is known of latencies stays.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: HedgeConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }
}

impl Handle for HedgeHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for HedgeHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
