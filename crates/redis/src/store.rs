use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_layer::Layer;
use tower_service::Service;
use watertight_breaker::{Breaker, BreakerHandle, BreakerLayer};
use watertight_core::{BoxError, ConfigError, Name, Rejection};
use watertight_ratelimit::store::{Answer, Order, Rule, Store};

use crate::path::{Path, PathFailures};
use crate::question::{self, Question};
use crate::{Error, RedisStoreBuilder};

/// Keeps the quotas of many processes in Redis or Valkey.
///
/// Clones share one connection and one breaker. See the [crate docs](crate).
#[derive(Clone)]
pub struct RedisStore {
    prefix: Arc<str>,
    path: Breaker<Path, PathFailures>,
    breaker: BreakerHandle,
}

impl RedisStore {
    /// Makes the store at one server with the default settings: `redis://:password@host:6379/0`.
    ///
    /// # Panics
    ///
    /// If the URL cannot be.
    #[must_use]
    pub fn new(name: impl Into<Name>, url: impl Into<String>) -> Self {
        Self::builder(name, url).build()
    }

    /// Starts the making of a store at one server. Its breaker has the `name`.
    pub fn builder(name: impl Into<Name>, url: impl Into<String>) -> RedisStoreBuilder {
        RedisStoreBuilder::one(name.into(), url.into())
    }

    /// Starts the making of a store in a cluster, of which some nodes are named: the others are
    /// found.
    pub fn cluster<Url: Into<String>>(
        name: impl Into<Name>,
        urls: impl IntoIterator<Item = Url>,
    ) -> RedisStoreBuilder {
        let urls = urls.into_iter().map(Into::into).collect();
        RedisStoreBuilder::cluster(name.into(), urls)
    }

    pub(crate) fn new_in(prefix: &str, breaker: &BreakerLayer<PathFailures>, path: Path) -> Self {
        Self {
            prefix: prefix.into(),
            path: breaker.layer(path),
            breaker: breaker.handle(),
        }
    }

    /// Returns the handle of the breaker that is around the way to Redis.
    #[must_use]
    pub fn breaker(&self) -> &BreakerHandle {
        &self.breaker
    }
}

impl Store for RedisStore {
    type Error = Error;
    type Asking = Asking;

    fn ask(&self, order: &Order<'_>) -> Asking {
        match Question::new(&self.prefix, order) {
            Ok(question) => Asking(Box::pin(answer(self.path.clone(), Arc::new(question)))),
            Err(error) => Asking(Box::pin(std::future::ready(Err(error)))),
        }
    }

    fn check(&self, rule: &Rule<'_>) -> Result<(), ConfigError> {
        question::check(*rule)
    }
}

async fn answer(
    mut path: Breaker<Path, PathFailures>,
    question: Arc<Question>,
) -> Result<Answer, Error> {
    let ready = std::future::poll_fn(|cx| Service::<Arc<Question>>::poll_ready(&mut path, cx));
    ready.await.map_err(own)?;
    let returned = path.call(Arc::clone(&question)).await.map_err(own)?;
    question.answer(&returned)
}

/// Finds our own error again, or says that the breaker has refused.
fn own(error: BoxError) -> Error {
    match error.downcast::<Error>() {
        Ok(error) => *error,
        Err(error) => Error::Open {
            retry_after: Rejection::find(&*error).and_then(Rejection::retry_after),
        },
    }
}

/// An answer of Redis that is under way.
///
/// It is to be polled in a tokio runtime, as all that talks over a network.
#[must_use = "futures do nothing unless polled"]
pub struct Asking(Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>);

impl Future for Asking {
    type Output = Result<Answer, Error>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl fmt::Debug for Asking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("prefix", &self.prefix)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}
