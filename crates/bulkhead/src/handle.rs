use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Keyed, Mode};
use watertight_metrics::Handle;

use crate::compartment::Compartment;
use crate::shared::Shared;
use crate::{BulkheadConfig, BulkheadSnapshot, Limit, PartitionSnapshot};

/// A look at, and a hand on, a live bulkhead. Cheap to clone.
///
/// From [`BulkheadLayer::handle`](crate::BulkheadLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry):
///
/// ```
/// use watertight_bulkhead::{BulkheadHandle, BulkheadLayer};
/// use watertight_metrics::Registry;
///
/// let registry = Registry::new();
/// let layer = BulkheadLayer::builder("payments", 50).registry(&registry).build();
///
/// let handle: BulkheadHandle = registry.find("payments").unwrap();
/// handle.resize(80).unwrap();
/// assert_eq!(layer.handle().limit(), 80);
/// ```
///
/// Where the layer tells [keys](crate::BulkheadBuilder::key) apart, what is done to the layer's
/// handle is done to the bulkheads of all keys, and [`key`](Self::key) gives the handle of one.
#[derive(Clone)]
pub struct BulkheadHandle {
    shared: Arc<Shared>,
    /// `None` for all of the layer's.
    key: Option<Arc<Compartment>>,
}

impl BulkheadHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, key: None }
    }

    /// Returns the bulkhead's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns a look at the bulkhead.
    #[must_use]
    pub fn snapshot(&self) -> BulkheadSnapshot {
        match &self.key {
            Some(compartment) => compartment.snapshot(self.shared.plan().mode(), Instant::now()),
            None => self.shared.look(),
        }
    }

    /// Returns the settings in force, of all keys.
    #[must_use]
    pub fn config(&self) -> BulkheadConfig {
        self.shared.config()
    }

    /// Returns how many calls may be in flight, as [`BulkheadSnapshot::limit`] has it.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.snapshot().limit
    }

    /// Returns how many calls are in flight.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.snapshot().in_flight
    }

    /// Returns how many calls wait for a slot.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.snapshot().queued
    }

    /// Returns the share of the slots that is in use, as [`BulkheadSnapshot::utilization`] has it.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        self.snapshot().utilization
    }

    /// Returns how a partition stands.
    #[must_use]
    pub fn partition(&self, name: &str) -> Option<PartitionSnapshot> {
        let partitions = self.snapshot().partitions;
        partitions.into_iter().find(|it| it.name == name)
    }

    /// Puts another limit in force. No call in flight is ended: where there are more than `limit`,
    /// as many of those that end make no room. The bulkhead of one key keeps the limit of its own
    /// until a change of all.
    ///
    /// # Errors
    ///
    /// If `limit` is out of its range. Then the old one stays in force.
    pub fn resize(&self, limit: impl Into<Limit>) -> Result<(), ConfigError> {
        let limit = limit.into();
        if let Some(compartment) = &self.key {
            return self.shared.resize_one(compartment, limit);
        }
        self.shared.reconfigure(|config| BulkheadConfig {
            limit,
            ..config.clone()
        })
    }

    /// Lets the bulkhead refuse calls, only count what it would refuse, or do nothing. It is set for
    /// the bulkheads of all keys.
    ///
    /// Calls that wait pass if it is no longer enforced, but for those that get a slot of their key by
    /// that and then have to wait for one of `total`.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force while calls are in flight, for the bulkheads of all keys. It is all of
    /// the settings, the mode among them: to change one and keep the others, begin with those in
    /// [force](Self::config).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use watertight_bulkhead::BulkheadLayer;
    /// # use watertight_metrics::Registry;
    /// # let layer = BulkheadLayer::builder("payments", 50).registry(&Registry::new()).build();
    /// # let handle = layer.handle();
    /// let mut config = handle.config();
    /// config.max_queue = 100;
    /// config.max_wait = Duration::from_millis(500);
    /// handle.reconfigure(config)?;
    /// # Ok::<(), watertight_core::ConfigError>(())
    /// ```
    ///
    /// Calls that wait do so for as long as they were told. An adaptive limit goes on from what it has learnt
    /// if its settings are the same. `max_keys` and `key_idle` are for new layers alone, and `total`
    /// counts the calls that come from now on.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: BulkheadConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(|_| config)
    }

    /// Returns the handle of the bulkhead of `key`, if it has one of its own. While the handle
    /// lives, the bulkhead is not forgotten.
    #[must_use]
    pub fn key(&self, key: Key) -> Option<Self> {
        let compartment = self
            .shared
            .keys()?
            .look(key, |way| Arc::clone(&way.compartment))?;
        Some(Self {
            shared: Arc::clone(&self.shared),
            key: Some(compartment),
        })
    }

    /// Returns the keys that have bulkheads of their own.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.shared.keys().map_or_else(Vec::new, Keyed::keys)
    }

    /// Returns the label of the key that this is the handle of, as
    /// [`key_label`](crate::BulkheadBuilder::key_label) made it.
    #[must_use]
    pub fn key_label(&self) -> Option<&str> {
        self.key.as_ref()?.reporter.label()
    }
}

impl Handle for BulkheadHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for BulkheadHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
