use std::any::Any;
use std::fmt;
use std::sync::Arc;

use watertight_core::{ConfigError, Mode};
use watertight_metrics::Handle;

use super::shared::Shared;
use super::{BodyTimeoutConfig, BodyTimeoutSnapshot, RequestBodies, ResponseBodies, Side};

/// A look at, and a hand on, a live layer that limits how long bodies take. Cheap to clone.
///
/// From [`BodyTimeoutLayer::handle`](crate::BodyTimeoutLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry).
pub struct BodyTimeoutHandle<D> {
    shared: Arc<Shared<D>>,
}

/// The handle of a [`RequestBodyTimeoutLayer`](crate::RequestBodyTimeoutLayer).
pub type RequestBodyTimeoutHandle = BodyTimeoutHandle<RequestBodies>;

/// The handle of a [`ResponseBodyTimeoutLayer`](crate::ResponseBodyTimeoutLayer).
pub type ResponseBodyTimeoutHandle = BodyTimeoutHandle<ResponseBodies>;

impl<D: Side> BodyTimeoutHandle<D> {
    pub(super) const fn new(shared: Arc<Shared<D>>) -> Self {
        Self { shared }
    }

    /// Returns the layer's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns a look at the layer.
    #[must_use]
    pub fn snapshot(&self) -> BodyTimeoutSnapshot {
        self.shared.look()
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> BodyTimeoutConfig {
        self.shared.config()
    }

    /// Returns how many calls have begun and not ended: with their response, or with its body where
    /// that is what is limited.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// Lets bodies be cut off, or only counted, or does nothing. Calls in flight go on as they
    /// began.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force for the calls that come.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: BodyTimeoutConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }
}

impl<D: Side> Handle for BodyTimeoutHandle<D> {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl<D> Clone for BodyTimeoutHandle<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Side> fmt::Debug for BodyTimeoutHandle<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTimeoutHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
