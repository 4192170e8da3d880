use std::sync::Arc;
use std::time::Duration;

use http::Request;
use tower_layer::{Layer, Stack};
use watertight_core::{ConfigError, Key, KeyFn, Mode, Name};
use watertight_metrics::Registry;

use super::shared::Shared;
use super::{ByHost, ObeyServer, ObeyServerConfig, ObeyServerHandle};
use crate::LegacyReset;

/// Calls servers as they ask for it, in the headers of their answers: client side.
///
/// A client that runs into a limit is refused, and often for longer than if it had come more
/// slowly. This layer reads what each server says, and lets calls to it wait until they may come.
///
/// | an answer says | calls |
/// | --- | --- |
/// | `Retry-After`, with 429 or 503 | wait for that time; it goes before the limits |
/// | `grpc-retry-pushback-ms`, with RESOURCE_EXHAUSTED or UNAVAILABLE in the head | the same |
/// | `RateLimit` with `r=0` and a `t` | wait for that time |
/// | `RateLimit` with more | start at once while more than half of the quota is left ([`spread_below`](ObeyServerConfig::spread_below)); from there on what is left is spread over `t`, and no faster than `RateLimit-Policy` allows |
/// | `RateLimit-Remaining` and `-Reset`, or `X-RateLimit-*` where [`legacy`](ObeyServerConfig::legacy) says how | the same |
///
/// The headers are those of draft-ietf-httpapi-ratelimit-headers-11. Limits on other things than
/// requests are passed over, and so is what is malformed, what a cache has answered (`Age`) and
/// what a redirection says. A limit without a policy is not spread. Up to eight limits of a server
/// are heeded at a time, which all have to agree.
///
/// When such a time is over, one call goes ahead to see what there is, and the others wait for its
/// answer: all that have waited would come at once.
///
/// # Example
///
/// ```
/// use std::convert::Infallible;
/// use std::time::Duration;
///
/// use http::{Request, Response};
/// use tower::{Service, ServiceBuilder, ServiceExt};
/// use watertight_core::Rejection;
/// use watertight_http::ObeyServerLayer;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), tower::BoxError> {
/// let mut client = ServiceBuilder::new()
///     .layer(ObeyServerLayer::new("github"))
///     .service_fn(|_: Request<()>| async {
///         let answer = Response::builder().header("ratelimit", r#""api";r=0;t=60"#);
///         Ok::<_, Infallible>(answer.body(()).unwrap())
///     });
///
/// client.ready().await?.call(Request::new(())).await?;
///
/// // Nobody waits for a minute.
/// let error = client.ready().await?.call(Request::new(())).await.unwrap_err();
/// let rejection = Rejection::find(&*error).unwrap();
/// assert_eq!(rejection.retry_after(), Some(Duration::from_secs(60)));
/// # Ok(())
/// # }
/// ```
///
/// # Order
///
/// Directly above the client, below a retry layer: then each attempt is paced, and a refusal here
/// is one that is not retried. Below a timeout, whose time a wait is part of. A layer above that
/// sets deadlines lets those calls be refused at once that would come too late.
///
/// # Readiness
///
/// It is ready when the inner service is. A call that waits takes a clone of the inner service
/// along and drives that to readiness when its turn has come.
///
/// # Cancellation
///
/// A call that is dropped while it waits leaves the queue, and was none. One that went ahead for
/// others and is dropped, or fails, leaves that to the next.
///
/// # Errors
///
/// A call that would wait longer than [`max_wait`](ObeyServerConfig::max_wait), or beyond its
/// deadline, or behind [`max_waiting`](ObeyServerConfig::max_waiting) others, is refused with a
/// [`Rejection`](watertight_core::Rejection) for
/// [`RateLimited`](watertight_core::Reason::RateLimited). It says how long the wait is, where that
/// is known.
///
/// # Sharing
///
/// What servers have said is shared by all services that one layer or its clones make, and by the
/// clones of those services. It is kept by host and port ([`ByHost`]), or by
/// [`key`](ObeyServerBuilder::key), for a limited number of servers. Other processes do not know of
/// it: a limit that many clients share is met by what the server tells each of them.
///
/// # Cost
///
/// A call takes two short locks of its server on its way in and one on its way out. It allocates
/// when it waits, when an answer speaks of limits, and when its server is new.
///
/// # Defaults
///
/// | setting | default |
/// | --- | --- |
/// | [`max_wait`](ObeyServerConfig::max_wait) | 10 s |
/// | [`max_waiting`](ObeyServerConfig::max_waiting) | 1,024 |
/// | [`spread_below`](ObeyServerConfig::spread_below) | 0.5 |
/// | [`max_hold`](ObeyServerConfig::max_hold) | 1 h |
/// | [`legacy`](ObeyServerConfig::legacy) | not read |
/// | [`max_servers`](ObeyServerConfig::max_servers) | 1,024 |
///
/// The reasons are at the constants of [`ObeyServerConfig`].
///
/// # Telemetry
///
/// Metrics: `watertight_calls_total`, by the status of the answers, `watertight_rejections_total`,
/// `watertight_queue_depth`, and `watertight_keys` for the servers, with `layer = "obey_server"`.
/// More is in [`ObeyServerSnapshot`](super::ObeyServerSnapshot). In
/// [`Mode::Shadow`] a call that would have had to wait goes at once, and is counted as refused.
#[derive(Clone, Debug)]
pub struct ObeyServerLayer<K = ByHost> {
    shared: Arc<Shared>,
    key: K,
}

impl ObeyServerLayer {
    /// Makes the layer with the default settings.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self::builder(name).build()
    }

    /// Starts the making of the layer.
    pub fn builder(name: impl Into<Name>) -> ObeyServerBuilder {
        Self::from_config(name, ObeyServerConfig::default())
    }

    /// Starts the making of the layer with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: ObeyServerConfig) -> ObeyServerBuilder {
        ObeyServerBuilder {
            name: name.into(),
            config,
            registry: None,
            key: ByHost,
        }
    }
}

impl<K> ObeyServerLayer<K> {
    /// Returns a handle on the layer.
    #[must_use]
    pub fn handle(&self) -> ObeyServerHandle {
        ObeyServerHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, K: Clone> Layer<S> for ObeyServerLayer<K> {
    type Service = ObeyServer<S, K>;

    fn layer(&self, inner: S) -> Self::Service {
        ObeyServer::new(inner, Arc::clone(&self.shared), self.key.clone())
    }
}

/// Makes an [`ObeyServerLayer`].
///
/// What is plain data is described at the field of the same name of [`ObeyServerConfig`], with its
/// range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct ObeyServerBuilder<K = ByHost> {
    name: Name,
    config: ObeyServerConfig,
    registry: Option<Registry>,
    key: K,
}

impl<K> ObeyServerBuilder<K> {
    /// Sets how long a call may wait. Default: 10 s.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.config.max_wait = time;
        self
    }

    /// Sets how many calls may wait for one server. Default: 1,024.
    pub fn max_waiting(mut self, calls: usize) -> Self {
        self.config.max_waiting = calls;
        self
    }

    /// Sets at which share of a quota calls begin to be spread. Default: 0.5.
    pub fn spread_below(mut self, share: f64) -> Self {
        self.config.spread_below = share;
        self
    }

    /// Sets the longest time for which a server is believed. Default: 1 h.
    pub fn max_hold(mut self, time: Duration) -> Self {
        self.config.max_hold = time;
        self
    }

    /// Reads `X-RateLimit-*`, too, and says what the reset is there. Default: they are not read.
    pub fn legacy(mut self, reset: LegacyReset) -> Self {
        self.config.legacy = Some(reset);
        self
    }

    /// Sets how many servers are known at a time. Default: 1,024.
    pub fn max_servers(mut self, servers: usize) -> Self {
        self.config.max_servers = servers;
        self
    }

    /// Sets whether calls wait and are refused, or are only counted. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Tells servers apart by another key than host and port: by what their limits are for, such
    /// as an account. Those without a key are one server.
    pub fn key<B, F, O>(self, key: F) -> ObeyServerBuilder<KeyFn<F, Request<B>>>
    where
        F: Fn(&Request<B>) -> O,
        O: Into<Option<Key>>,
    {
        self.key_by(KeyFn::new(key))
    }

    /// [`key`](Self::key) by a type, a [`KeyBy`](watertight_core::KeyBy).
    pub fn key_by<K2>(self, key: K2) -> ObeyServerBuilder<K2> {
        ObeyServerBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            key,
        }
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> ObeyServerLayer<K> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range.
    pub fn try_build(self) -> Result<ObeyServerLayer<K>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(ObeyServerLayer {
            shared: Shared::new(self.name, self.config, &registry),
            key: self.key,
        })
    }
}

/// Puts an [`ObeyServerLayer`] below a layer, in one word.
///
/// ```
/// use tower::layer::util::Identity;
/// use watertight_http::ObeyServerExt;
///
/// // Such as the rate limit of a client's own.
/// let limit = Identity::new();
/// let client = limit.obey_server("github");
/// ```
pub trait ObeyServerExt: Sized {
    /// Obeys what servers say, below this layer, with the default settings.
    fn obey_server(self, name: impl Into<Name>) -> Stack<ObeyServerLayer, Self> {
        Stack::new(ObeyServerLayer::new(name), self)
    }
}

impl<L> ObeyServerExt for L {}
