use std::sync::{Arc, LockResult, Mutex, MutexGuard, OnceLock, PoisonError};

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Keyed, Mode, Name, Padded, Stripes, stripe_count};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use crate::compartment::Compartment;
use crate::counts::Counts;
use crate::plan::{CurrentPlan, Plan};
use crate::settings::Settings;
use crate::slots::{Room, Woken};
use crate::way::{Held, Way};
use crate::{BulkheadConfig, BulkheadSnapshot, Limit};

/// What all services of one layer share: a compartment, or one for each key.
#[derive(Debug)]
pub(crate) struct Shared {
    name: Name,
    plan: CurrentPlan,
    /// The one compartment. Where there are keys, it serves the calls without a key and the keys
    /// that found no place.
    compartment: Arc<Compartment>,
    stripes: Stripes<Way>,
    /// Made with the first key.
    keys: OnceLock<Keyed<Padded<Way>>>,
    /// The room of all keys together.
    all: Arc<Room>,
    counts: Arc<Counts>,
    /// What a new key begins with.
    settings: Mutex<Settings>,
    /// One change at a time goes through all compartments, so that they end up alike.
    hand: Mutex<()>,
    reporter: Reporter,
}

impl Shared {
    const KIND: &'static str = "bulkhead";

    pub(crate) fn new(name: Name, config: BulkheadConfig, registry: &Registry) -> Arc<Self> {
        let reporter = registry.reporter(Self::KIND, name);
        let counts = Arc::new(Counts::new(Self::KIND, name, reporter.clone()));
        let plan = Plan::new(&config);
        let settings = Settings::new(config);
        let all = Arc::new(Room::new(settings.room_of_all()));
        let compartment = Arc::new(Compartment::new(
            &settings,
            stripe_count(),
            Arc::clone(&all),
            Arc::clone(&counts),
            reporter.clone(),
        ));
        let shared = Arc::new(Self {
            name,
            plan: CurrentPlan::new(plan),
            stripes: Stripes::new(|stripe| Way::new(&compartment, stripe)),
            keys: OnceLock::new(),
            compartment,
            all,
            counts,
            settings: Mutex::new(settings),
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(crate) fn plan(&self) -> Plan {
        self.plan.load()
    }

    #[inline]
    pub(crate) fn stripes(&self) -> &Stripes<Way> {
        &self.stripes
    }

    /// Returns the number of a partition, the same in all rooms.
    pub(crate) fn partition(&self, name: &str) -> Option<u16> {
        self.all.partition(name)
    }

    /// Returns the way to the compartment of `key`, which is made if there is none.
    pub(crate) fn way_of(&self, key: Key, label: impl FnOnce() -> Option<String>) -> Held {
        let keys = self.keys.get_or_init(|| {
            let overflow = Arc::new(Padded(Way::new(&self.compartment, 0)));
            let config = &self.settings().config;
            Keyed::new(config.max_keys, config.key_idle, overflow)
        });
        let way = keys.get_or_insert(key, Instant::now, || {
            let reporter = self.reporter.with_key(key, label().map(Into::into));
            let compartment = Compartment::new(
                &self.settings(),
                1,
                Arc::clone(&self.all),
                Arc::clone(&self.counts),
                reporter,
            );
            Padded(Way::new(&Arc::new(compartment), 0))
        });
        if Arc::ptr_eq(&way.compartment, &self.compartment) {
            self.reporter.keys_overflowed(Instant::now());
        }
        way
    }

    pub(crate) fn keys(&self) -> Option<&Keyed<Padded<Way>>> {
        self.keys.get()
    }

    /// Returns the compartments of all keys.
    fn of_keys(&self) -> Vec<Arc<Compartment>> {
        let keys = self.keys();
        keys.map_or_else(Vec::new, |keys| {
            keys.look_at_all(|_, way| Arc::clone(&way.compartment))
        })
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        let woken = {
            let _hand = self.hand();
            let mut settings = self.settings();
            settings.config.mode = mode;
            // There may be a key of which the calls are timed alone.
            let is_timed = self.plan().is_timed();
            self.plan
                .store(Plan::new(&settings.config).timed_if(is_timed));
            drop(settings);
            self.let_pass(mode)
        };
        drop(woken);
        self.reporter.mode_changed(mode);
    }

    /// Returns the settings in force.
    pub(crate) fn config(&self) -> BulkheadConfig {
        self.settings().config.clone()
    }

    /// Puts the config in force that `change` makes of the one that is.
    pub(crate) fn reconfigure(
        &self,
        change: impl FnOnce(&BulkheadConfig) -> BulkheadConfig,
    ) -> Result<(), ConfigError> {
        let woken = {
            let _hand = self.hand();
            let config = change(&self.settings().config);
            config.validate()?;
            self.put_in_force(config)
        };
        drop(woken);
        self.reporter.config_changed();
        Ok(())
    }

    /// Puts another limit in force for one key alone.
    pub(crate) fn resize_one(
        &self,
        compartment: &Compartment,
        limit: Limit,
    ) -> Result<(), ConfigError> {
        limit.validate()?;
        let woken = {
            let _hand = self.hand();
            let learns = !matches!(limit, Limit::Fixed(_));
            let woken = compartment.resize(limit, Instant::now());
            self.plan.store(self.plan().timed_if(learns));
            woken
        };
        drop(woken);
        self.reporter.config_changed();
        Ok(())
    }

    /// Lets those pass who wait for what this mode does not ask for. Returns who is to be woken once
    /// nothing is locked.
    fn let_pass(&self, mode: Mode) -> Vec<Woken> {
        if mode == Mode::Enforce {
            return Vec::new();
        }
        let now = Instant::now();
        let mut woken = vec![self.all.let_pass(|| now), self.compartment.let_pass(now)];
        let of_keys = self.of_keys();
        woken.extend(of_keys.iter().map(|compartment| compartment.let_pass(now)));
        woken
    }

    /// Returns who is to be woken once nothing is locked.
    fn put_in_force(&self, config: BulkheadConfig) -> Vec<Woken> {
        let plan = Plan::new(&config);
        let settings = {
            let mut settings = self.settings();
            settings.replace(config);
            settings.clone()
        };
        let now = Instant::now();
        let mut woken = vec![
            self.all.reconfigure(settings.room_of_all(), || now),
            self.compartment.reconfigure(&settings, now),
        ];
        for compartment in self.of_keys() {
            woken.push(compartment.reconfigure(&settings, now));
        }
        // What calls go by is there now.
        self.plan.store(plan);
        woken.extend(self.let_pass(plan.mode()));
        woken
    }

    /// Returns a look at all compartments together.
    pub(crate) fn look(&self) -> BulkheadSnapshot {
        let (plan, now) = (self.plan(), Instant::now());
        let mut all = self.compartment.snapshot(plan.mode(), now);
        for compartment in self.of_keys() {
            all.add(&compartment.snapshot(plan.mode(), now));
        }
        if plan.has_total() {
            all.within(&self.all);
        }
        all
    }

    pub(crate) fn name(&self) -> Name {
        self.name
    }

    fn settings(&self) -> MutexGuard<'_, Settings> {
        unpoisoned(self.settings.lock())
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        unpoisoned(self.hand.lock())
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn name(&self) -> Name {
        self.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let look = self.look();
        let mut snapshot = self.counts.snapshot();
        snapshot.mode = look.mode;
        snapshot.in_flight = Some(look.in_flight as u64);
        snapshot.queue_depth = Some(look.queued as u64);
        snapshot.utilization = Some(look.utilization);
        snapshot.queue_wait = look.queue_wait;
        let is_one = self.keys().is_none() || self.plan().has_total();
        snapshot.limit = is_one.then_some(look.limit as u64);
        if let Some(keys) = self.keys() {
            keys.sweep(Instant::now());
            snapshot.keys = Some(keys.len() as u64);
            snapshot.keys_evicted = Some(keys.evicted());
        }
        snapshot.config = self.settings().config.describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut last = self.counts.snapshot();
        last.keys_evicted = self.keys().map(Keyed::evicted);
        self.counts.retire(last);
    }
}

fn unpoisoned<T>(locked: LockResult<T>) -> T {
    locked.unwrap_or_else(PoisonError::into_inner)
}
