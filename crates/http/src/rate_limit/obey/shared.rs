use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use watertight_core::{Mode, Name};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use super::core::{Core, Servers};
use super::counts::{Count, Counts};
use super::{ObeyServerConfig, ObeyServerSnapshot};

/// What all services of one layer share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) core: Arc<Core>,
    /// One change at a time.
    hand: Mutex<()>,
    reporter: Reporter,
}

impl Shared {
    pub(super) fn new(name: Name, config: ObeyServerConfig, registry: &Registry) -> Arc<Self> {
        let reporter = registry.reporter(Counts::KIND, name);
        let counts = Counts::new(name, reporter.clone());
        let shared = Arc::new(Self {
            core: Arc::new(Core::new(name, config, counts)),
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            let config = **self.core.config.load();
            self.core
                .config
                .store(Arc::new(ObeyServerConfig { mode, ..config }));
            self.core.set_mode(mode);
        }
        self.reporter.mode_changed(mode);
    }

    /// Puts a valid config in force.
    pub(super) fn reconfigure(&self, config: ObeyServerConfig) {
        {
            let _hand = self.hand();
            let before = self.core.config.swap(Arc::new(config));
            if before.max_servers != config.max_servers {
                let servers = Servers::new(config.max_servers);
                self.core.servers.store(Arc::new(servers));
            }
            self.core.set_mode(config.mode);
        }
        self.reporter.config_changed();
    }

    pub(super) fn look(&self) -> ObeyServerSnapshot {
        let (counts, servers) = (&self.core.counts, self.core.servers.load());
        ObeyServerSnapshot {
            mode: self.core.mode(),
            servers: servers.known(),
            waiting: counts.waiting(),
            delayed: counts.total(Count::Delayed),
            refused: counts.total(Count::Refused),
            refused_in_shadow: counts.total(Count::RefusedInShadow),
            queue_wait: counts.queue_wait(Instant::now()),
        }
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Counts::KIND
    }

    fn name(&self) -> Name {
        self.core.name
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let (look, servers) = (self.look(), self.core.servers.load());
        let mut snapshot = self.core.counts.snapshot();
        snapshot.mode = look.mode;
        snapshot.queue_depth = Some(look.waiting as u64);
        snapshot.queue_wait = look.queue_wait;
        snapshot.keys = Some(look.servers as u64);
        snapshot.keys_evicted = Some(servers.evicted());
        snapshot.config = self.core.config.load().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.counts.retire();
    }
}
