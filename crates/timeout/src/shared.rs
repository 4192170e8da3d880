use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::Instant;
use watertight_core::{
    BoxError, ConfigError, Key, Keyed, Mode, Name, Padded, Reason, Rejection, Stripes,
};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use crate::control::Control;
use crate::counts::{Count, Counts};
use crate::machine::Machine;
use crate::plan::Plan;
use crate::way::{Held, Way};
use crate::{TimeoutConfig, TimeoutSnapshot};

/// What all services of one layer share: a machine, or one for each key.
#[derive(Debug)]
pub(crate) struct Shared {
    control: Arc<Control>,
    /// The one machine. Where there are keys, it serves the calls without a key and the keys that
    /// found no place.
    machine: Arc<Machine>,
    stripes: Stripes<Way>,
    /// Made with the first key.
    keys: OnceLock<Keyed<Padded<Way>>>,
    /// One change at a time.
    hand: Mutex<()>,
    reporter: Reporter,
}

impl Shared {
    pub(crate) fn new(name: Name, config: TimeoutConfig, registry: &Registry) -> Arc<Self> {
        let now = Instant::now();
        let reporter = registry.reporter(Counts::KIND, name);
        let counts = Counts::new(name, reporter.clone());
        let control = Arc::new(Control::new(config, counts, now));
        let machine = Arc::new(Machine::new(Arc::clone(&control), None));
        let shared = Arc::new(Self {
            control,
            stripes: Stripes::new(|_| Way::new(Arc::clone(&machine))),
            machine,
            keys: OnceLock::new(),
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(crate) fn plan(&self) -> Plan {
        self.control.plan()
    }

    pub(crate) fn control(&self) -> &Control {
        &self.control
    }

    pub(crate) fn machine(&self) -> &Machine {
        &self.machine
    }

    #[inline]
    pub(crate) fn way(&self) -> Held {
        Arc::clone(self.stripes.mine())
    }

    /// Returns the way to the machine of `key`, which is made if there is none.
    pub(crate) fn way_of(&self, key: Key, label: impl FnOnce() -> Option<String>) -> Held {
        let keys = self.keys.get_or_init(|| {
            let config = self.control.config();
            let overflow = Arc::new(Padded(Way::new(Arc::clone(&self.machine))));
            Keyed::new(config.max_keys, config.key_idle, overflow)
        });
        let way = keys.get_or_insert(key, Instant::now, || {
            let machine = Machine::new(Arc::clone(&self.control), label());
            Padded(Way::new(Arc::new(machine)))
        });
        if Arc::ptr_eq(&way, keys.overflow()) {
            self.reporter.keys_overflowed(Instant::now());
        }
        way
    }

    pub(crate) fn keys(&self) -> Option<&Keyed<Padded<Way>>> {
        self.keys.get()
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

    pub(crate) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            self.control.set_mode(mode);
        }
        self.reporter.mode_changed(mode);
    }

    pub(crate) fn reconfigure(&self, config: TimeoutConfig) -> Result<(), ConfigError> {
        config.validate()?;
        {
            let _hand = self.hand();
            self.control.set(config);
            let now = Instant::now();
            self.each(|machine| machine.settings_changed(now));
        }
        self.reporter.config_changed();
        Ok(())
    }

    pub(crate) fn look(&self, machine: &Machine) -> TimeoutSnapshot {
        let counts = &self.control.counts;
        let refused = |reason| counts.refusals(reason, Mode::Enforce);
        TimeoutSnapshot {
            mode: self.plan().mode(),
            timeout: machine.timeout(),
            timed_out: refused(Reason::TimedOut),
            deadline_exceeded: refused(Reason::DeadlineExceeded),
            not_ready: refused(Reason::NotReady),
            in_shadow: counts.all_refusals(Mode::Shadow),
            explored: counts.total(Count::Explored),
        }
    }

    /// Counts a call that is refused, and makes the error of it.
    #[cold]
    pub(crate) fn refuse(&self, reason: Reason) -> BoxError {
        self.control.counts.refused(reason, Mode::Enforce);
        Rejection::new(reason, self.name()).into()
    }

    /// Calls `f` with each machine.
    fn each(&self, mut f: impl FnMut(&Machine)) {
        f(&self.machine);
        if let Some(keys) = self.keys() {
            for machine in keys.look_at_all(|_, way| way.machine()) {
                f(&machine);
            }
        }
    }

    /// Returns a snapshot of what only grows.
    fn counted(&self, now: Instant) -> InstanceSnapshot {
        let mut snapshot = self.control.counts.snapshot(now);
        snapshot.keys_evicted = self.keys().map(Keyed::evicted);
        snapshot
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how many calls hold `way`, which a set holds too. Nobody else does: who only looks holds
/// the machine.
fn calls(way: &Held) -> usize {
    Arc::strong_count(way) - 1
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Counts::KIND
    }

    fn name(&self) -> Name {
        self.control.counts.name()
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let now = Instant::now();
        let mut snapshot = self.counted(now);
        snapshot.mode = self.plan().mode();
        snapshot.in_flight = Some(self.in_flight() as u64);
        let mut longest = self.machine.timeout();
        self.each(|machine| longest = longest.max(machine.timeout()));
        snapshot.timeout = longest;
        if let Some(keys) = self.keys() {
            keys.sweep(now);
            snapshot.keys = Some(keys.len() as u64);
        }
        snapshot.config = self.control.config().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.control.counts.retire(self.counted(Instant::now()));
    }
}
