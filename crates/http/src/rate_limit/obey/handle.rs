use std::any::Any;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Mode};
use watertight_metrics::Handle;

use super::shared::Shared;
use super::{ObeyServerConfig, ObeyServerSnapshot};

/// A look at, and a hand on, a live [`ObeyServerLayer`](super::ObeyServerLayer). Cheap to clone.
///
/// From [`ObeyServerLayer::handle`](super::ObeyServerLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry).
#[derive(Clone)]
pub struct ObeyServerHandle {
    shared: Arc<Shared>,
}

impl ObeyServerHandle {
    pub(super) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Returns the layer's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.core.name.as_str()
    }

    /// Returns a look at the layer.
    #[must_use]
    pub fn snapshot(&self) -> ObeyServerSnapshot {
        self.shared.look()
    }

    /// Returns for how long no call to a server starts. `None`: until an answer comes.
    ///
    /// [`ByHost::key_of`](super::ByHost::key_of) makes the key of a host. `None` is the server of
    /// the calls without one. Of a server that is not known there is nothing to wait for.
    #[must_use]
    pub fn closed_for(&self, key: impl Into<Option<Key>>) -> Option<Duration> {
        let servers = self.shared.core.servers.load();
        let closed = servers.look(key.into(), |server| server.closed_for(Instant::now()));
        closed.unwrap_or(Some(Duration::ZERO))
    }

    /// Forgets what all servers have said: for one that has asked for too much.
    pub fn forget(&self) {
        self.shared.core.servers.load().forget();
    }

    /// Returns the settings in force.
    #[must_use]
    pub fn config(&self) -> ObeyServerConfig {
        **self.shared.core.config.load()
    }

    /// Lets calls wait and be refused, or only be counted, or does nothing. Calls that wait go on
    /// as they began.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    /// Puts `config` in force for the calls that come. What servers have said stays, unless
    /// [`max_servers`](ObeyServerConfig::max_servers) changes.
    ///
    /// # Errors
    ///
    /// If `config` is invalid. Then the old one stays in force.
    pub fn reconfigure(&self, config: ObeyServerConfig) -> Result<(), ConfigError> {
        config.validate()?;
        self.shared.reconfigure(config);
        Ok(())
    }
}

impl Handle for ObeyServerHandle {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        instance.downcast().ok().map(Self::new)
    }
}

impl fmt::Debug for ObeyServerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObeyServerHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
