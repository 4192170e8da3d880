use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tower_layer::Layer;
use watertight_core::Name;

use crate::algorithm::Algorithm;
use crate::front::Front;
use crate::shared::Shared;
use crate::{
    LeakyBucket, Pace, Quotas, RateLimit, RateLimitBuilder, RateLimitConfig, RateLimitHandle,
    Rules, SlidingWindow, TokenBucket,
};

/// Wraps services in [`RateLimit`], or in [`Pace`] with a leaky bucket, all behind one limit.
///
/// It goes by the names of [`TokenBucketLayer`], [`SlidingWindowLayer`] and [`LeakyBucketLayer`].
pub struct RateLimitLayer<A, R = Rules> {
    shared: Arc<Shared>,
    rules: R,
    algorithm: PhantomData<fn() -> A>,
}

/// Lets bursts pass and bounds the rate: the limit of most servers.
///
/// See the [crate docs](crate) for an example.
pub type TokenBucketLayer<R = Rules> = RateLimitLayer<TokenBucket, R>;

/// Bounds what comes in a period, whenever that begins: what contracts say.
///
/// See the [crate docs](crate) for what it costs to be exact.
pub type SlidingWindowLayer<R = Rules> = RateLimitLayer<SlidingWindow, R>;

/// Delays calls so that they come at a constant rate: for a service that takes no bursts.
///
/// See the [crate docs](crate) for an example.
pub type LeakyBucketLayer<R = Rules> = RateLimitLayer<LeakyBucket, R>;

impl<A: Algorithm> RateLimitLayer<A> {
    /// Creates a limit of `quotas` for all calls together.
    ///
    /// # Panics
    ///
    /// If `quotas` are out of their range.
    #[must_use]
    pub fn new(name: impl Into<Name>, quotas: impl Into<Quotas>) -> Self {
        Self::builder(name, quotas).build()
    }

    /// Starts the making of a limit of `quotas`.
    pub fn builder(name: impl Into<Name>, quotas: impl Into<Quotas>) -> RateLimitBuilder<A> {
        Self::from_config(name, RateLimitConfig::new(quotas))
    }

    /// Starts the making of a limit with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: RateLimitConfig<A>) -> RateLimitBuilder<A> {
        RateLimitBuilder::new(name.into(), config, Rules::default())
    }
}

impl<A, R> RateLimitLayer<A, R> {
    pub(crate) const fn with(shared: Arc<Shared>, rules: R) -> Self {
        Self {
            shared,
            rules,
            algorithm: PhantomData,
        }
    }

    fn front(&self) -> Front<R>
    where
        R: Clone,
    {
        Front {
            shared: Arc::clone(&self.shared),
            rules: self.rules.clone(),
        }
    }

    /// Returns a handle on the limit.
    #[must_use]
    pub fn handle(&self) -> RateLimitHandle<A> {
        RateLimitHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, R: Clone> Layer<S> for RateLimitLayer<TokenBucket, R> {
    type Service = RateLimit<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.front())
    }
}

impl<S, R: Clone> Layer<S> for RateLimitLayer<SlidingWindow, R> {
    type Service = RateLimit<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        RateLimit::new(inner, self.front())
    }
}

impl<S, R: Clone> Layer<S> for RateLimitLayer<LeakyBucket, R> {
    type Service = Pace<S, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Pace::new(inner, self.front())
    }
}

impl<A, R: Clone> Clone for RateLimitLayer<A, R> {
    fn clone(&self) -> Self {
        Self::with(Arc::clone(&self.shared), self.rules.clone())
    }
}

impl<A, R> fmt::Debug for RateLimitLayer<A, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
