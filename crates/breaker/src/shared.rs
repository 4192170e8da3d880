use std::sync::{Arc, Mutex, MutexGuard, OnceLock};

use tokio::time::Instant;
use watertight_core::{
    BoxError, ConfigError, DynError, Key, Keyed, Mode, Name, Padded, Pending, Reason, Rejection,
    Stripes,
};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter, StateSnapshot};

use crate::admit::{Admission, Refusal};
use crate::circuit::Circuit;
use crate::counts::Counts;
use crate::permit::Permit;
use crate::sync::unpoisoned;
use crate::way::{Held, Way};
use crate::{BreakerConfig, State};

/// What all services of one layer share: a circuit, or one for each key.
#[derive(Debug)]
pub(crate) struct Shared {
    name: Name,
    /// The one circuit. Where there are keys, it serves the calls without a key and the keys that
    /// found no place.
    circuit: Arc<Circuit>,
    stripes: Stripes<Way>,
    /// Made with the first key.
    keys: OnceLock<Keyed<Padded<Way>>>,
    counts: Arc<Counts>,
    /// What a new key begins with.
    config: Mutex<BreakerConfig>,
    /// One change at a time goes through all circuits, so that they end up alike.
    hand: Mutex<()>,
    reporter: Reporter,
}

impl Shared {
    pub(crate) fn new(name: Name, config: BreakerConfig, registry: &Registry) -> Arc<Self> {
        let epoch = Instant::now();
        let reporter = registry.reporter(Counts::KIND, name);
        let counts = Arc::new(Counts::new(name, reporter.clone()));
        let circuit = Arc::new(Circuit::new(
            config.clone(),
            Pending::new(),
            Arc::clone(&counts),
            reporter.clone(),
            epoch,
        ));
        let shared = Arc::new(Self {
            name,
            stripes: Stripes::new(|_| Way::new(Arc::clone(&circuit))),
            keys: OnceLock::new(),
            circuit,
            counts,
            config: Mutex::new(config),
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(crate) fn circuit(&self) -> &Arc<Circuit> {
        &self.circuit
    }

    #[inline]
    pub(crate) fn stripes(&self) -> &Stripes<Way> {
        &self.stripes
    }

    /// Returns the way to the circuit of `key`, which is made if there is none.
    pub(crate) fn way_of(&self, key: Key, label: impl FnOnce() -> Option<String>) -> Held {
        let keys = self.keys.get_or_init(|| {
            let config = self.config();
            let overflow = Arc::new(Padded(Way::new(Arc::clone(&self.circuit))));
            Keyed::new(config.max_keys, config.key_idle, overflow)
        });
        let way = keys.get_or_insert(key, Instant::now, || {
            Padded(Way::new(Arc::new(Circuit::new(
                self.config_of_a_key(),
                Pending::single(),
                Arc::clone(&self.counts),
                self.reporter.with_key(key, label().map(Into::into)),
                Instant::now(),
            ))))
        });
        if Arc::ptr_eq(&way.circuit, &self.circuit) {
            self.reporter.keys_overflowed(Instant::now());
        }
        way
    }

    /// What a new key begins with. It is asked under the lock of its shard: changes reach the
    /// config and the one circuit first and the shards after, so that no key misses one.
    fn config_of_a_key(&self) -> BreakerConfig {
        let mut config = self.config().clone();
        let all = self.circuit.word().state();
        if all.is_forced() {
            config.start = all;
        } else if config.start.is_forced() {
            // It has been released since.
            config.start = State::Closed;
        }
        config
    }

    pub(crate) fn keys(&self) -> Option<&Keyed<Padded<Way>>> {
        self.keys.get()
    }

    /// Calls `f` with each circuit.
    pub(crate) fn each(&self, mut f: impl FnMut(&Circuit)) {
        f(&self.circuit);
        if let Some(keys) = self.keys() {
            for circuit in keys.look_at_all(|_, way| Arc::clone(&way.circuit)) {
                f(&circuit);
            }
        }
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        {
            let _hand = unpoisoned(self.hand.lock());
            self.config().mode = mode;
            self.each(|circuit| circuit.set_mode(mode));
        }
        self.reporter.mode_changed(mode);
    }

    pub(crate) fn reconfigure(&self, config: BreakerConfig) -> Result<(), ConfigError> {
        config.validate()?;
        {
            let _hand = unpoisoned(self.hand.lock());
            let (each, now) = (config.clone(), Instant::now());
            *self.config() = config;
            self.each(|circuit| circuit.reconfigure(&each, now));
        }
        self.reporter.config_changed();
        Ok(())
    }

    /// Returns the gravest state that there is.
    pub(crate) fn state(&self) -> State {
        let now = Instant::now();
        let mut gravest = self.circuit.state(now);
        self.each(|circuit| {
            let state = circuit.state(now);
            if state.gravity() > gravest.gravity() {
                gravest = state;
            }
        });
        gravest
    }

    pub(crate) fn in_flight(&self) -> usize {
        let mut in_flight = self.stripes.held();
        if let Some(keys) = self.keys() {
            in_flight += calls(keys.overflow());
            in_flight += keys.look_at_all(|_, way| calls(way)).iter().sum::<usize>();
        }
        in_flight
    }

    pub(crate) fn in_flight_of(&self, key: Key) -> usize {
        let keys = self.keys();
        keys.and_then(|keys| keys.look(key, calls))
            .unwrap_or_default()
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    /// Returns a snapshot of what only grows.
    fn counted(&self, now: Instant) -> InstanceSnapshot {
        let mut snapshot = self.counts.snapshot(now);
        self.each(|circuit| snapshot.calls.success += circuit.pending.total());
        snapshot.keys_evicted = self.keys().map(Keyed::evicted);
        snapshot
    }

    fn config(&self) -> MutexGuard<'_, BreakerConfig> {
        unpoisoned(self.config.lock())
    }
}

impl Shared {
    /// Admits a call to `circuit`, or makes the error that it gets. `None` is for a call that nobody
    /// looks at.
    #[inline]
    pub(crate) fn admit(&self, circuit: &Circuit) -> Result<Option<Permit>, BoxError> {
        match circuit.admit(Instant::now) {
            Admission::Admitted(permit) => Ok(Some(permit)),
            Admission::Unwatched => Ok(None),
            Admission::Refused(refusal) => Err(self.refuse(circuit, refusal)),
        }
    }

    /// Counts a refusal, and makes the error of it.
    #[inline(never)]
    pub(crate) fn refuse(&self, circuit: &Circuit, refusal: Refusal) -> BoxError {
        circuit.note_refusal(Mode::Enforce, Instant::now);
        let rejection = Rejection::new(Reason::CircuitOpen, self.name);
        match refusal.retry_after {
            Some(after) => rejection.with_retry_after(after).into(),
            None => rejection.into(),
        }
    }

    /// Takes note that an inner service without keys failed to become ready.
    #[cold]
    pub(crate) fn readiness_failed(&self, error: &DynError) {
        if Rejection::find(error).is_none_or(|rejection| rejection.reason().votes()) {
            self.circuit.readiness_failed(Instant::now());
        }
    }
}

/// Returns how many calls hold `way`, which a set holds too. Nobody else does: who only looks holds
/// the circuit.
fn calls(way: &Held) -> usize {
    Arc::strong_count(way) - 1
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Counts::KIND
    }

    fn name(&self) -> Name {
        self.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let now = Instant::now();
        let mut snapshot = self.counted(now);
        snapshot.state = Some(StateSnapshot {
            current: self.state().as_str(),
            all: &State::NAMES,
        });
        snapshot.mode = self.config().mode;
        snapshot.in_flight = Some(self.in_flight() as u64);
        if let Some(keys) = self.keys() {
            keys.sweep(now);
            snapshot.keys = Some(keys.len() as u64);
        }
        snapshot.config = self.config().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.counts.retire(self.counted(Instant::now()));
    }
}
