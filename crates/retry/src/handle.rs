use std::any::Any;
use std::fmt;
use std::sync::Arc;

use watertight_core::{Budget, ConfigError, Mode};
use watertight_metrics::Handle;

use crate::counts::Count;
use crate::give_up::GiveUp;
use crate::shared::Shared;
use crate::{RetryConfig, RetrySnapshot};

/// A look at, and a hand on, a live retry layer. Cheap to clone.
///
/// From [`RetryLayer::handle`](crate::RetryLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry).
#[derive(Clone)]
pub struct RetryHandle {
    shared: Arc<Shared>,
}

impl RetryHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the layer's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.machine().name.as_str()
    }

    /// Returns a look at the layer.
    #[must_use]
    pub fn snapshot(&self) -> RetrySnapshot {
        let counts = &self.shared.machine().counts;
        RetrySnapshot {
            mode: self.shared.machine().config().mode,
            in_flight: self.in_flight(),
            retries: counts.total(Count::Retry),
            letters_lost: counts.total(Count::LostLetter),
            given_up: GiveUp::ALL
                .iter()
                .map(|why| (why.as_str(), counts.given_up(*why)))
                .collect(),
        }
    }

    /// Returns how many calls have passed the layer and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.in_flight()
    }

    /// Returns the budget that the retries are paid from, to share it with other layers.
    #[must_use]
    pub fn budget(&self) -> &Budget {
        &self.shared.machine().budget
    }

    /// Retries calls, or only counts what would be retried.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.machine().set_mode(mode);
    }

    /// Puts `config` in force while calls are in flight: they go by it from their next failure on.
    /// A call that began without something has it no more: a clock for `max_elapsed`, or its
    /// request for a second attempt.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: RetryConfig) -> Result<(), ConfigError> {
        self.shared.machine().reconfigure(config)
    }
}

impl Handle for RetryHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for RetryHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
