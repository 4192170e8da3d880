use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Mode};
use watertight_metrics::{Handle, Instance};

use crate::algorithm::Algorithm;
use crate::shared::Shared;
use crate::store::InProcess;
use crate::verdict::Ask;
use crate::{
    Decision, LeakyBucket, RateLimitConfig, RateLimitSnapshot, SlidingWindow, TokenBucket,
};

/// A look at, and a hand on, a live rate limit. Cheap to clone.
///
/// From [`RateLimitLayer::handle`](crate::RateLimitLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry):
///
/// ```
/// use watertight_metrics::Registry;
/// use watertight_ratelimit::{Quota, TokenBucketHandle, TokenBucketLayer};
///
/// let registry = Registry::new();
/// let layer = TokenBucketLayer::builder("api", Quota::per_second(100))
///     .registry(&registry)
///     .build();
///
/// let handle: TokenBucketHandle = registry.find("api").unwrap();
/// assert_eq!(handle.at_most(30), 30);
/// assert_eq!(layer.handle().peek(1).status.remaining, 70);
/// ```
///
/// Of a layer that tells [keys](crate::RateLimitBuilder::key) apart, [`key`](Self::key) gives the
/// handle of one, and [`plan`](Self::plan) that of a plan. Other handles are those of the calls
/// without a key or plan. The [`total`](crate::RateLimitConfig::total) is asked as well by all that
/// takes or looks.
///
/// With a [store](crate::RateLimitBuilder::store) it is a [`StoredHandle`](crate::store::StoredHandle).
pub struct RateLimitHandle<A, L = InProcess> {
    pub(crate) shared: Arc<Shared>,
    plan: usize,
    key: Option<Key>,
    kind: PhantomData<fn() -> (A, L)>,
}

/// The handle of a [`TokenBucketLayer`](crate::TokenBucketLayer).
pub type TokenBucketHandle = RateLimitHandle<TokenBucket>;

/// The handle of a [`SlidingWindowLayer`](crate::SlidingWindowLayer).
pub type SlidingWindowHandle = RateLimitHandle<SlidingWindow>;

/// The handle of a [`LeakyBucketLayer`](crate::LeakyBucketLayer).
///
/// What is taken by hand starts at once, or is not taken.
pub type LeakyBucketHandle = RateLimitHandle<LeakyBucket>;

impl<A, L> RateLimitHandle<A, L> {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            plan: 0,
            key: None,
            kind: PhantomData,
        }
    }

    /// Returns the limit's name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.shared.name().as_str()
    }

    /// Returns the handle of `key`, on the same plan.
    #[must_use]
    pub fn key(&self, key: Key) -> Self {
        Self {
            key: Some(key),
            ..self.clone()
        }
    }

    /// Returns the handle of a plan, for the same key.
    #[must_use]
    pub fn plan(&self, name: &str) -> Option<Self> {
        let plan = self.shared.core.limits.load().plan(name)?;
        Some(Self {
            plan,
            ..self.clone()
        })
    }

    /// Returns the settings in force, of all keys.
    #[must_use]
    pub fn config(&self) -> RateLimitConfig<A>
    where
        A: Algorithm,
    {
        self.shared.config_in_force()
    }

    /// Lets the limit refuse calls, only count what it would refuse, or do nothing. It is set for
    /// all keys, in this process.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    pub(crate) fn ask(&self, cost: u64) -> Ask {
        Ask {
            plan: self.plan,
            key: self.key,
            cost,
        }
    }
}

impl<A: Algorithm, L> RateLimitHandle<A, L> {
    /// Puts `config` in force while calls are in flight, for all keys. It is all of the settings, the
    /// mode among them: to change one and keep the others, begin with those in
    /// [force](Self::config).
    ///
    /// ```
    /// # use watertight_metrics::Registry;
    /// # use watertight_ratelimit::{Quota, TokenBucketLayer};
    /// # let registry = Registry::new();
    /// # let layer = TokenBucketLayer::builder("api", Quota::per_second(100));
    /// # let handle = layer.registry(&registry).build().handle();
    /// let mut config = handle.config();
    /// config.quotas = Quota::per_second(200).into();
    /// handle.reconfigure(config)?;
    /// # Ok::<(), watertight_core::ConfigError>(())
    /// ```
    ///
    /// What has been taken stays taken, of the quota of the same period or else of the one in the
    /// same place, and comes back at the new rate. Plans are told by their names: one that is new
    /// is whole, and the calls of one that is gone are served like those without a plan.
    ///
    /// A sliding window that is counted in another way from then on is whole: approximately, by
    /// buckets or exactly. So is an approximate one that gets a second quota or is left with one, or
    /// that becomes or was too large for two counters in a word.
    ///
    /// A key of which nobody has asked through eight changes is whole at the next one, whatever it
    /// has taken before, unless it is of a sliding window that keeps its keys one by one.
    ///
    /// Calls that wait for their turns in a leaky bucket go over to the new pace, in their order, and
    /// those that come later come after them, however short the new queue is. So no more start than
    /// the rates in force allow. At a lower rate a call may wait for longer than `max_wait` or its
    /// deadline, which it was asked for when it came. Turns in a store, or that are granted while
    /// that has failed, stay as they were booked.
    ///
    /// A store goes by it from the next order on. As long as other processes have another config, each
    /// is served by its own.
    ///
    /// # Errors
    ///
    /// If `config` is invalid, or the store cannot keep such a quota. Then the old one stays in force.
    pub fn reconfigure(&self, config: RateLimitConfig<A>) -> Result<(), ConfigError> {
        config.validate()?;
        let config = config.into_any();
        if self.shared.keyed {
            config.validate_keys()?;
        }
        if let Some(keeper) = &self.shared.core.keeper {
            keeper.check(&config)?;
        }
        self.shared.reconfigure(config);
        Ok(())
    }
}

impl<A> RateLimitHandle<A> {
    /// Returns a look at the limit.
    #[must_use]
    pub fn snapshot(&self) -> RateLimitSnapshot {
        self.shared.look(self.ask(0))
    }

    /// Takes `cost`, as a call does: all of it or nothing. The mode makes no difference.
    #[must_use = "a call that is not admitted is not to be made"]
    pub fn take(&self, cost: u64) -> Decision {
        let limits = self.shared.core.limits.load();
        limits.take(self.ask(cost), Instant::now()).decision
    }

    /// Takes what there is, up to `most`, and returns how much that was.
    #[must_use = "what was taken is to be used, or given back"]
    pub fn at_most(&self, most: u64) -> u64 {
        let limits = self.shared.core.limits.load();
        limits.take_up_to(self.ask(most), Instant::now()).0
    }

    /// Says what would become of a call that costs `cost` now, and takes nothing.
    #[must_use]
    pub fn peek(&self, cost: u64) -> Decision {
        let limits = self.shared.core.limits.load();
        limits.peek(self.ask(cost), Instant::now()).decision
    }

    /// Gives back what was taken for nothing. There will not be more than the limit.
    ///
    /// What has come in since it was taken stays as well, though a limit that was whole would have
    /// had no room for it: give back soon. So does a quota or a total get it back that has been added
    /// in the meantime, from which nothing was taken.
    pub fn refund(&self, cost: u64) {
        let limits = self.shared.core.limits.load();
        limits.give_back(self.ask(cost), Instant::now());
    }

    /// Takes `cost` whether it is there or not, as far as [`Quota::debt`](crate::Quota::debt) goes.
    /// The total stays as it is.
    pub fn penalize(&self, cost: u64) {
        let limits = self.shared.core.limits.load();
        limits.charge(self.ask(cost), Instant::now());
    }
}

impl<A: Algorithm> Handle for RateLimitHandle<A> {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        let shared: Arc<Shared> = instance.downcast().ok()?;
        let is_of_this_kind = shared.kind() == A::KIND && shared.core.keeper.is_none();
        is_of_this_kind.then(|| Self::new(shared))
    }
}

impl<A, L> Clone for RateLimitHandle<A, L> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ..*self
        }
    }
}

impl<A, L> fmt::Debug for RateLimitHandle<A, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitHandle")
            .field("name", &self.name())
            .field("mode", &self.shared.core.mode())
            .finish_non_exhaustive()
    }
}
