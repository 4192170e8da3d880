use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tower_layer::Layer;
use watertight_core::Name;

use crate::algorithm::Algorithm;
use crate::front::Front;
use crate::shared::Shared;
use crate::store::{InProcess, InStore, Store, Stored, StoredHandle};
use crate::{
    LeakyBucket, Pace, Quotas, RateLimit, RateLimitBuilder, RateLimitConfig, RateLimitHandle,
    Rules, SlidingWindow, TokenBucket,
};

/// Wraps services in [`RateLimit`], or in [`Pace`] with a leaky bucket, all behind one limit. With a
/// [store](RateLimitBuilder::store) it is [`Stored`] with all of them.
///
/// It goes by the names of [`TokenBucketLayer`], [`SlidingWindowLayer`] and [`LeakyBucketLayer`].
pub struct RateLimitLayer<A, R = Rules, L = InProcess> {
    shared: Arc<Shared>,
    rules: R,
    /// Where the quotas are kept.
    place: L,
    algorithm: PhantomData<fn() -> A>,
}

/// Lets bursts pass and bounds the rate: the limit of most servers.
///
/// See the [crate docs](crate) for an example.
pub type TokenBucketLayer<R = Rules, L = InProcess> = RateLimitLayer<TokenBucket, R, L>;

/// Bounds what comes in a period, whenever that begins: what contracts say.
///
/// See the [crate docs](crate) for what it costs to be exact.
pub type SlidingWindowLayer<R = Rules, L = InProcess> = RateLimitLayer<SlidingWindow, R, L>;

/// Delays calls so that they come at a constant rate: for a service that takes no bursts.
///
/// See the [crate docs](crate) for an example.
pub type LeakyBucketLayer<R = Rules, L = InProcess> = RateLimitLayer<LeakyBucket, R, L>;

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

impl<A, R, L> RateLimitLayer<A, R, L> {
    pub(crate) const fn with(shared: Arc<Shared>, rules: R, place: L) -> Self {
        Self {
            shared,
            rules,
            place,
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
}

impl<A, R> RateLimitLayer<A, R, InProcess> {
    /// Returns a handle on the limit.
    #[must_use]
    pub fn handle(&self) -> RateLimitHandle<A> {
        RateLimitHandle::new(Arc::clone(&self.shared))
    }
}

impl<A, R, St> RateLimitLayer<A, R, InStore<St>> {
    /// Returns a handle on the limit.
    #[must_use]
    pub fn handle(&self) -> StoredHandle<A> {
        StoredHandle::new(Arc::clone(&self.shared))
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

impl<S, A, R: Clone, St: Store> Layer<S> for RateLimitLayer<A, R, InStore<St>> {
    type Service = Stored<S, St, R>;

    fn layer(&self, inner: S) -> Self::Service {
        Stored::new(inner, self.place.0.clone(), self.front())
    }
}

impl<A, R: Clone, L: Clone> Clone for RateLimitLayer<A, R, L> {
    fn clone(&self) -> Self {
        let shared = Arc::clone(&self.shared);
        Self::with(shared, self.rules.clone(), self.place.clone())
    }
}

impl<A, R, L> fmt::Debug for RateLimitLayer<A, R, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitLayer")
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
