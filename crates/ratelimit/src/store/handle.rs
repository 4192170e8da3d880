use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Mode};
use watertight_metrics::{Handle, Instance};

use super::{Act, Answer, StoreError, StoredSnapshot};
use crate::algorithm::Algorithm;
use crate::counts::Count;
use crate::shared::Shared;
use crate::verdict::Ask;
use crate::{Decision, RateLimitConfig};

/// A look at, and a hand on, a live rate limit whose quotas are kept in a store. Cheap to clone.
///
/// From [`RateLimitLayer::handle`](crate::RateLimitLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry), where it is another than that of a limit in the
/// process. What it takes or looks at is the store's, of all processes, and takes a round trip; the
/// total of this process is left as it is. A store that fails is an error here, whatever
/// [`OnStoreFailure`](super::OnStoreFailure) says of calls.
pub struct StoredHandle<A> {
    shared: Arc<Shared>,
    plan: usize,
    key: Option<Key>,
    algorithm: PhantomData<fn() -> A>,
}

impl<A> StoredHandle<A> {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            plan: 0,
            key: None,
            algorithm: PhantomData,
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

    /// Returns a look at what this process knows of the limit.
    #[must_use]
    pub fn snapshot(&self) -> StoredSnapshot {
        let counts = &self.shared.core.counts;
        let now = Instant::now();
        StoredSnapshot {
            mode: self.shared.core.mode(),
            total: self.shared.core.limits.load().total(now),
            in_flight: self.shared.stripes.held(),
            queued: counts.waiting(),
            queue_wait: counts.queue_wait(now),
            failed: counts.total(Count::StoreFailed),
            timed_out: counts.total(Count::StoreTimedOut),
            untold: counts.total(Count::Untold),
        }
    }

    /// Takes `cost`, all of it or nothing. The mode makes no difference. Of a leaky bucket it is taken
    /// only if it may begin at once.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been taken or not.
    pub async fn take(&self, cost: u64) -> Result<Decision, StoreError> {
        Ok(self.ask(cost, Act::Take(cost)).await?.decision)
    }

    /// Takes what there is, up to `most`, and returns how much that was.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been taken or not.
    pub async fn at_most(&self, most: u64) -> Result<u64, StoreError> {
        Ok(self.ask(most, Act::TakeUpTo(most)).await?.taken)
    }

    /// Says what would become of a call that costs `cost` now, and takes nothing.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn peek(&self, cost: u64) -> Result<Decision, StoreError> {
        Ok(self.ask(cost, Act::Peek(cost)).await?.decision)
    }

    /// Gives back what was taken for nothing. There will not be more than the limit.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been given back or not.
    pub async fn refund(&self, cost: u64) -> Result<(), StoreError> {
        self.ask(cost, Act::GiveBack(cost)).await.map(drop)
    }

    /// Takes `cost` whether it is there or not, as far as [`Quota::debt`](crate::Quota::debt) goes.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been taken or not.
    pub async fn penalize(&self, cost: u64) -> Result<(), StoreError> {
        self.ask(cost, Act::Charge(cost)).await.map(drop)
    }

    /// Lets the limit refuse calls, only count what it would refuse, or do nothing. It is set for all
    /// keys, in this process.
    pub fn set_mode(&self, mode: Mode) {
        self.shared.set_mode(mode);
    }

    async fn ask(&self, cost: u64, act: Act) -> Result<Answer, StoreError> {
        let ask = Ask {
            plan: self.plan,
            key: self.key,
            cost,
        };
        self.shared.core.ask_store(ask, act).await
    }
}

impl<A: Algorithm> StoredHandle<A> {
    /// Puts `config` in force while calls are in flight, for all keys, in this process.
    ///
    /// The store goes by it from the next order on. As long as other processes have another config,
    /// each is served by its own.
    ///
    /// # Errors
    ///
    /// If `config` is invalid, or the store cannot keep such a quota. Then the old one stays in force.
    pub fn reconfigure(&self, config: RateLimitConfig<A>) -> Result<(), ConfigError> {
        config.validate()?;
        let config = config.into_any();
        if let Some(keeper) = &self.shared.core.keeper {
            keeper.check(&config)?;
        }
        self.shared.reconfigure(config);
        Ok(())
    }
}

impl<A: Algorithm> Handle for StoredHandle<A> {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        let shared: Arc<Shared> = instance.downcast().ok()?;
        let is_of_this_kind = shared.kind() == A::KIND && shared.core.keeper.is_some();
        is_of_this_kind.then(|| Self::new(shared))
    }
}

impl<A> Clone for StoredHandle<A> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            ..*self
        }
    }
}

impl<A> fmt::Debug for StoredHandle<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredHandle")
            .field("name", &self.name())
            .field("snapshot", &self.snapshot())
            .finish()
    }
}
