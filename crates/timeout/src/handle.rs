use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use watertight_core::{ConfigError, Key, Mode};
use watertight_metrics::Handle;

use crate::machine::Machine;
use crate::shared::Shared;
use crate::{TimeoutConfig, TimeoutSnapshot};

/// A look at, and a hand on, a live timeout. Cheap to clone.
///
/// From [`TimeoutLayer::handle`](crate::TimeoutLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry):
///
/// ```
/// use std::time::Duration;
/// use watertight_metrics::Registry;
/// use watertight_timeout::{TimeoutHandle, TimeoutLayer};
///
/// let registry = Registry::new();
/// let five = Duration::from_secs(5);
/// let layer = TimeoutLayer::builder("payments").limit(five).registry(&registry).build();
///
/// let handle: TimeoutHandle = registry.find("payments").unwrap();
/// assert_eq!(handle.timeout(), Some(five));
/// # let _ = layer;
/// ```
///
/// Where the layer tells [keys](crate::TimeoutBuilder::key) apart, [`key`](Self::key) gives the
/// handle of one.
#[derive(Clone)]
pub struct TimeoutHandle {
    shared: Arc<Shared>,
    /// `None` for all of the layer's.
    key: Option<(Key, Arc<Machine>)>,
}

impl TimeoutHandle {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, key: None }
    }

    /// Returns the timeout's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        watertight_metrics::Instance::name(&*self.shared).as_str()
    }

    /// Returns after what time a call is ended now. Of many keys, it is the one for calls without a
    /// key. `None` where nothing is limited but by the request or its context.
    #[must_use]
    pub fn timeout(&self) -> Option<Duration> {
        self.machine().timeout()
    }

    /// Returns a look at the timeout. What is counted is counted for all keys together.
    #[must_use]
    pub fn snapshot(&self) -> TimeoutSnapshot {
        self.shared.look(self.machine())
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> TimeoutConfig {
        TimeoutConfig::clone(&self.shared.control().config())
    }

    /// Returns how many calls have come and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.key {
            Some((key, _)) => self.shared.in_flight_of(*key),
            None => self.shared.in_flight(),
        }
    }

    /// Lets the timeout end calls, only count those that it would end, or do nothing. Calls in
    /// flight go on as they began.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force for the calls that come. What is known of durations stays. `max_keys`
    /// and `key_idle` are for new layers alone.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: TimeoutConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }

    /// Returns the handle of the timeout of `key`, if it has one of its own. While the handle
    /// lives, the timeout is not forgotten.
    #[must_use]
    pub fn key(&self, key: Key) -> Option<Self> {
        let machine = self.shared.keys()?.look(key, |way| way.machine())?;
        Some(Self {
            shared: Arc::clone(&self.shared),
            key: Some((key, machine)),
        })
    }

    /// Returns the keys that have timeouts of their own.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.shared
            .keys()
            .map_or_else(Vec::new, watertight_core::Keyed::keys)
    }

    /// Returns the label of the key that this is the handle of, as
    /// [`key_label`](crate::TimeoutBuilder::key_label) made it.
    #[must_use]
    pub fn key_label(&self) -> Option<&str> {
        self.key.as_ref()?.1.label()
    }

    fn machine(&self) -> &Machine {
        match &self.key {
            Some((_, machine)) => machine,
            None => self.shared.machine(),
        }
    }
}

impl Handle for TimeoutHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for TimeoutHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
