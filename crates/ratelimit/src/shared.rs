use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use watertight_core::{Mode, Name, Stripes};
use watertight_metrics::{Instance, InstanceSnapshot, Registry};

use crate::algorithm::Algorithm;
use crate::config::AnyConfig;
use crate::counts::Counts;
use crate::limits::Limits;
use crate::store::{Keeper, Share};
use crate::verdict::Ask;
use crate::way::{Core, Way};
use crate::{LeakyBucket, RateLimitConfig, RateLimitSnapshot, Status};

/// What all services of one layer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) core: Arc<Core>,
    pub(crate) stripes: Stripes<Way>,
    /// Whether its calls have keys that are counted here.
    pub(crate) keyed: bool,
    /// The settings in force. It guards the changes of the limits: one at a time.
    config: Mutex<AnyConfig>,
}

impl Shared {
    pub(crate) fn new(
        kind: &'static str,
        name: Name,
        config: AnyConfig,
        keeper: Option<Keeper>,
        keyed: bool,
        registry: &Registry,
    ) -> Arc<Self> {
        let reporter = registry.reporter(kind, name);
        let counts = Counts::new(kind, name, reporter.clone());
        let share = granted(&config, keeper.as_ref());
        let limits = Limits::new(name, &config, share, None, Instant::now());
        if keyed {
            limits.make_room();
        }
        let core = Core::new(config.mode, limits, counts, reporter, keeper);
        let core = Arc::new(core);
        let shared = Arc::new(Self {
            stripes: Stripes::new(|_| Way(Arc::clone(&core))),
            core,
            keyed,
            config: Mutex::new(config),
        });
        registry.register(&shared);
        shared
    }

    pub(crate) fn name(&self) -> Name {
        self.core.counts.name()
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        {
            let mut config = self.config();
            config.mode = mode;
            self.core.set_mode(mode);
        }
        self.core.reporter.mode_changed(mode);
    }

    /// Returns the settings in force.
    pub(crate) fn config_in_force<A: Algorithm>(&self) -> RateLimitConfig<A> {
        let config = self.config().clone();
        // A handle is of the kind of its layer.
        config.with_algorithm(|algorithm| A::try_from(algorithm).unwrap_or_default())
    }

    /// Puts a valid config in force.
    pub(crate) fn reconfigure(&self, config: AnyConfig) {
        {
            let mut current = self.config();
            let before = self.core.limits.load_full();
            let share = granted(&config, self.core.keeper.as_ref());
            let now = Instant::now();
            let limits = Limits::new(self.name(), &config, share, Some(&before), now);
            if self.keyed {
                limits.make_room();
            }
            self.core.limits.store(limits);
            self.core.set_mode(config.mode);
            *current = config;
        }
        self.core.changed.notify_waiters();
        self.core.reporter.config_changed();
    }

    /// Returns a look at the limit of who would ask so.
    pub(crate) fn look(&self, ask: Ask) -> RateLimitSnapshot {
        let (limits, now) = (self.core.limits.load(), Instant::now());
        RateLimitSnapshot {
            mode: self.core.mode(),
            status: limits.own(ask, now),
            total: limits.total(now),
            keys: limits.keys(now),
            keys_evicted: limits.evicted(),
            in_flight: self.stripes.held(),
            queued: self.core.counts.waiting(),
            queue_wait: self.core.counts.queue_wait(now),
        }
    }

    fn config(&self) -> MutexGuard<'_, AnyConfig> {
        self.config.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns how much of its quotas the process grants by itself.
const fn granted(config: &AnyConfig, keeper: Option<&Keeper>) -> Share {
    match keeper {
        Some(_) => Share::of(config.store.on_failure),
        None => Share::ALL,
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        self.core.counts.kind()
    }

    fn name(&self) -> Name {
        self.name()
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let look = self.look(Ask::ALL);
        let mut snapshot = self.core.counts.snapshot();
        snapshot.mode = look.mode;
        snapshot.in_flight = Some(look.in_flight as u64);
        let is_pace = self.kind() == LeakyBucket::KIND;
        snapshot.queue_depth = is_pace.then_some(look.queued as u64);
        snapshot.utilization = match self.core.keeper {
            // How much is taken of the quotas, the store knows.
            Some(_) => look.total.map(Status::utilization),
            None => look.utilization(),
        };
        snapshot.queue_wait = look.queue_wait;
        snapshot.keys = look.keys.map(|keys| keys as u64);
        snapshot.keys_evicted = look.keys_evicted;
        snapshot.config = self.config().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        let mut last = self.core.counts.snapshot();
        last.keys_evicted = self.core.limits.load().evicted();
        self.core.counts.retire(last);
    }
}
