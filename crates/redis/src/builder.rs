use std::fmt;
use std::time::Duration;

use watertight_breaker::{BreakerConfig, BreakerLayer};
use watertight_core::{ConfigError, Name};
use watertight_metrics::Registry;

use crate::dial::Dial;
use crate::link::Link;
use crate::path::{Path, PathFailures};
#[cfg(feature = "tls")]
use crate::tls::{Certificates, choose_provider_for};
use crate::{RedisConfig, RedisStore};

/// Makes a [`RedisStore`].
///
/// What is plain data is described at the field of the same name of [`RedisConfig`].
#[derive(Clone)]
#[must_use = "a builder does nothing until `build`"]
pub struct RedisStoreBuilder {
    name: Name,
    server: Server,
    config: RedisConfig,
    #[cfg(feature = "tls")]
    certificates: Certificates,
    registry: Option<Registry>,
}

#[derive(Clone)]
enum Server {
    One(String),
    Cluster(Vec<String>),
}

impl RedisStoreBuilder {
    pub(crate) fn one(name: Name, url: String) -> Self {
        Self::new(name, Server::One(url))
    }

    pub(crate) fn cluster(name: Name, urls: Vec<String>) -> Self {
        let mut cluster = Self::new(name, Server::Cluster(urls));
        // If one node is down, a row of its failures comes sooner or later.
        cluster.config.breaker.consecutive_failures = 0;
        cluster
    }

    fn new(name: Name, server: Server) -> Self {
        Self {
            name,
            server,
            config: RedisConfig::default(),
            #[cfg(feature = "tls")]
            certificates: Certificates::default(),
            registry: None,
        }
    }

    /// Sets all that is plain data. Of a cluster, that is the breaker's
    /// [`consecutive_failures`](BreakerConfig::consecutive_failures) too, which is else 0.
    pub fn config(mut self, config: RedisConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets what the names of all keys begin with. Default: `watertight`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.config.prefix = prefix.into();
        self
    }

    /// Sets how long it may take to connect. Default: 500 ms.
    pub fn connection_timeout(mut self, time: Duration) -> Self {
        self.config.connection_timeout = time;
        self
    }

    /// Sets how long Redis may take to answer. Default: 500 ms.
    pub fn response_timeout(mut self, time: Duration) -> Self {
        self.config.response_timeout = time;
        self
    }

    /// Sets when Redis is not asked for a while.
    pub fn breaker(mut self, config: BreakerConfig) -> Self {
        self.config.breaker = config;
        self
    }

    /// Sets what the certificate of a `rediss://` server has to be signed by: certificates in PEM.
    /// Default: what the system trusts.
    #[cfg(feature = "tls")]
    pub fn root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.certificates.roots = Some(pem.into());
        self
    }

    /// Sets the certificate that a `rediss://` server knows us by, and its key, both in PEM. Default:
    /// none.
    #[cfg(feature = "tls")]
    pub fn client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.certificates.own = Some((certificate.into(), key.into()));
        self
    }

    /// Registers the breaker in `registry`. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Makes the store. It connects when it is asked first.
    ///
    /// # Panics
    ///
    /// If a setting or a URL cannot be, with a message that says which, and what is allowed.
    #[must_use]
    #[allow(
        clippy::panic,
        reason = "the documented answer to an invalid configuration"
    )]
    pub fn build(self) -> RedisStore {
        match self.try_build() {
            Ok(store) => store,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the store, as [`build`](Self::build) does.
    ///
    /// # Errors
    ///
    /// If a setting or a URL cannot be. The URL is not in the message: there may be a password in
    /// it.
    pub fn try_build(self) -> Result<RedisStore, ConfigError> {
        self.config.validate()?;
        let dial = self.dial()?;
        let breaker =
            BreakerLayer::from_config(self.name, self.config.breaker).classify(PathFailures);
        let breaker = match &self.registry {
            Some(registry) => breaker.registry(registry),
            None => breaker,
        };
        let path = Path::new(Link::new(dial));
        Ok(RedisStore::new_in(
            &self.config.prefix,
            &breaker.try_build()?,
            path,
        ))
    }

    fn dial(&self) -> Result<Dial, ConfigError> {
        #[cfg(feature = "tls")]
        {
            let urls = self.server.urls();
            self.certificates.validate(urls)?;
            choose_provider_for(urls);
        }
        match &self.server {
            Server::One(url) => Dial::one(
                url,
                &self.config,
                #[cfg(feature = "tls")]
                &self.certificates,
            ),
            Server::Cluster(urls) => Dial::cluster(
                urls,
                &self.config,
                #[cfg(feature = "tls")]
                &self.certificates,
            ),
        }
    }
}

#[cfg(feature = "tls")]
impl Server {
    fn urls(&self) -> &[String] {
        match self {
            Self::One(url) => std::slice::from_ref(url),
            Self::Cluster(urls) => urls,
        }
    }
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URLs may have a password in them.
        f.debug_struct("RedisStoreBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
