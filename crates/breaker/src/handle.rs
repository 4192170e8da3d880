use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Mode};
use watertight_metrics::Handle;

use crate::circuit::Circuit;
use crate::phase::Phase;
use crate::shared::Shared;
use crate::{BreakerConfig, BreakerSnapshot, State};

/// A look at, and a hand on, a live breaker. Cheap to clone.
///
/// From [`BreakerLayer::handle`](crate::BreakerLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry):
///
/// ```
/// use watertight_breaker::{BreakerHandle, BreakerLayer, State};
/// use watertight_metrics::Registry;
///
/// let registry = Registry::new();
/// let layer = BreakerLayer::builder("payments").registry(&registry).build();
///
/// let handle: BreakerHandle = registry.find("payments").unwrap();
/// handle.force_open();
/// assert_eq!(layer.handle().state(), State::ForcedOpen);
/// ```
///
/// Where the layer tells [keys](crate::BreakerBuilder::key) apart, what is done to the layer's
/// handle is done to the breakers of all keys, and [`key`](Self::key) gives the handle of one.
#[derive(Clone)]
pub struct BreakerHandle {
    shared: Arc<Shared>,
    /// `None` for all of the layer's.
    key: Option<(Key, Arc<Circuit>)>,
}

impl BreakerHandle {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, key: None }
    }

    /// Returns the breaker's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns what the breaker does with calls now. Of the breakers of many keys, the gravest
    /// state is returned.
    #[must_use]
    pub fn state(&self) -> State {
        match &self.key {
            Some((_, circuit)) => circuit.state(Instant::now()),
            None => self.shared.state(),
        }
    }

    /// Returns a look at the breaker. Of the breakers of many keys, it is the one that serves the
    /// calls without a key.
    #[must_use]
    pub fn snapshot(&self) -> BreakerSnapshot {
        self.one().snapshot(Instant::now())
    }

    /// Returns how many calls have passed the breaker and not ended.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        match &self.key {
            Some((key, _)) => self.shared.in_flight_of(*key),
            None => self.shared.in_flight(),
        }
    }

    /// Refuses all calls until [`release`](Self::release). Results are counted and move nothing.
    pub fn force_open(&self) {
        self.force(&Phase::ForcedOpen);
    }

    /// Lets all calls pass until [`release`](Self::release). Results are counted and move nothing.
    pub fn force_closed(&self) {
        self.force(&Phase::ForcedClosed);
    }

    /// Opens the breaker for `time` from now, whatever it does, and goes on from there as usual.
    pub fn open_for(&self, time: Duration) {
        let now = Instant::now();
        self.each(|circuit| circuit.open_for(time, now));
    }

    /// Ends a forced state: the breaker is closed and its window empty.
    pub fn release(&self) {
        self.reset();
    }

    /// Closes the breaker and empties its window.
    pub fn reset(&self) {
        self.force(&Phase::Closed);
    }

    /// Lets the breaker refuse calls, only count what it would refuse, or do nothing. It is set
    /// for all of the layer's breakers.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force while calls are in flight, for all of the layer's breakers. The state
    /// stays, and so does what is in the window unless `config` has another one. `start`,
    /// `max_keys`, `key_idle` and `seed` are for new breakers alone.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigError> {
        self.shared.reconfigure(config)
    }

    /// Returns the handle of the breaker of `key`, if it has one of its own. While the handle
    /// lives, the breaker is not forgotten.
    #[must_use]
    pub fn key(&self, key: Key) -> Option<Self> {
        let keys = self.shared.keys()?;
        let circuit = keys.look(key, |way| Arc::clone(&way.circuit))?;
        Some(Self {
            shared: Arc::clone(&self.shared),
            key: Some((key, circuit)),
        })
    }

    /// Returns the keys that have breakers of their own.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.shared
            .keys()
            .map_or_else(Vec::new, watertight_core::Keyed::keys)
    }

    /// Returns the label of the key that this is the handle of, as
    /// [`key_label`](crate::BreakerBuilder::key_label) made it.
    #[must_use]
    pub fn key_label(&self) -> Option<&str> {
        self.key.as_ref()?.1.reporter.label()
    }

    fn force(&self, phase: &Phase) {
        let now = Instant::now();
        self.each(|circuit| circuit.force(phase.clone(), now));
    }

    fn each(&self, mut f: impl FnMut(&Circuit)) {
        match &self.key {
            Some((_, circuit)) => f(circuit),
            None => self.shared.each(f),
        }
    }

    fn one(&self) -> &Circuit {
        match &self.key {
            Some((_, circuit)) => circuit,
            None => self.shared.circuit(),
        }
    }
}

impl Handle for BreakerHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
