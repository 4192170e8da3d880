use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::time::Instant;
use watertight_core::{BoxError, Context, Key, Keyed, Mode, Name, Reason, Rejection};

use super::ObeyServerConfig;
use super::counts::Counts;
use super::purse::after;
use super::server::{Patience, Server};

/// What calls need of what they share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) name: Name,
    mode: AtomicU8,
    pub(super) config: ArcSwap<ObeyServerConfig>,
    pub(super) servers: ArcSwap<Servers>,
    pub(super) counts: Counts,
}

/// What is known of servers.
#[derive(Debug)]
pub(super) struct Servers {
    by_key: Keyed<Server>,
    /// What calls go to of which nobody knows where.
    others: Arc<Server>,
}

impl Servers {
    /// How soon a server that is not called is forgotten, if somebody needs the room.
    const IDLE: Duration = Duration::from_secs(600);

    pub(super) fn new(max_servers: usize) -> Self {
        let others = Arc::new(Server::new());
        Self {
            by_key: Keyed::new(max_servers, Self::IDLE, Arc::clone(&others)),
            others,
        }
    }

    pub(super) fn of(&self, key: Option<Key>) -> Arc<Server> {
        let Some(key) = key else {
            return Arc::clone(&self.others);
        };
        self.by_key.get_or_insert(key, Instant::now, Server::new)
    }

    /// Looks at the server that calls of `key` go to, if something is known of it.
    pub(super) fn look<R>(&self, key: Option<Key>, look: impl FnOnce(&Server) -> R) -> Option<R> {
        match key {
            Some(key) => self.by_key.look(key, |server| look(server)),
            None => Some(look(&self.others)),
        }
    }

    pub(super) fn forget(&self) {
        self.by_key.for_each(|_, server| server.forget());
        self.others.forget();
    }

    pub(super) fn known(&self) -> usize {
        self.by_key.len()
    }

    pub(super) fn evicted(&self) -> u64 {
        self.by_key.evicted()
    }
}

impl Core {
    pub(super) fn new(name: Name, config: ObeyServerConfig, counts: Counts) -> Self {
        Self {
            name,
            mode: AtomicU8::new(config.mode as u8),
            servers: ArcSwap::from_pointee(Servers::new(config.max_servers)),
            config: ArcSwap::from_pointee(config),
            counts,
        }
    }

    pub(super) fn mode(&self) -> Mode {
        Mode::of_word(self.mode.load(Ordering::Relaxed).into())
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Returns how long a call can wait that comes now.
    pub(super) fn patience(&self, now: Instant) -> Patience {
        let config = self.config.load();
        let until = after(now, config.max_wait);
        let deadline = Context::with(|context| context.and_then(|context| context.deadline));
        Patience {
            until: deadline.map_or(until, |deadline| deadline.min(until)),
            max_waiting: config.max_waiting,
        }
    }

    /// Counts a call that would have to wait too long, and makes the error of it.
    #[cold]
    pub(super) fn refuse(&self, wait: Duration) -> BoxError {
        self.counts.refused(Mode::Enforce);
        let rejection = Rejection::new(Reason::RateLimited, self.name);
        if wait.is_zero() {
            return rejection.into();
        }
        rejection.with_retry_after(wait).into()
    }
}
