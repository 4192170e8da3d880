use std::any::Any;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_metrics::{Handle, Instance};

use super::{Act, Answer, InStore, StoreError, StoredSnapshot};
use crate::algorithm::Algorithm;
use crate::counts::Count;
use crate::shared::Shared;
use crate::{Decision, RateLimitHandle};

/// A look at, and a hand on, a live rate limit whose quotas are kept in a store. Cheap to clone.
///
/// From [`RateLimitLayer::handle`](crate::RateLimitLayer::handle), or by name from a
/// [`Registry`](watertight_metrics::Registry), where it is another than that of a limit in the
/// process. What it takes or looks at is the store's, of all processes, and takes a round trip; the
/// total of this process is left as it is. A store that fails is an error here, whatever
/// [`OnStoreFailure`](super::OnStoreFailure) says of calls.
pub type StoredHandle<A> = RateLimitHandle<A, InStore>;

impl<A> StoredHandle<A> {
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
        Ok(self.tell(cost, Act::Take(cost)).await?.decision)
    }

    /// Takes what there is, up to `most`, and returns how much that was.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been taken or not.
    pub async fn at_most(&self, most: u64) -> Result<u64, StoreError> {
        Ok(self.tell(most, Act::TakeUpTo(most)).await?.taken)
    }

    /// Says what would become of a call that costs `cost` now, and takes nothing.
    ///
    /// # Errors
    ///
    /// If the store fails.
    pub async fn peek(&self, cost: u64) -> Result<Decision, StoreError> {
        Ok(self.tell(cost, Act::Peek(cost)).await?.decision)
    }

    /// Gives back what was taken for nothing. There will not be more than the limit.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been given back or not.
    pub async fn refund(&self, cost: u64) -> Result<(), StoreError> {
        self.tell(cost, Act::GiveBack(cost)).await.map(drop)
    }

    /// Takes `cost` whether it is there or not, as far as [`Quota::debt`](crate::Quota::debt) goes.
    ///
    /// # Errors
    ///
    /// If the store fails: then it may have been taken or not.
    pub async fn penalize(&self, cost: u64) -> Result<(), StoreError> {
        self.tell(cost, Act::Charge(cost)).await.map(drop)
    }

    async fn tell(&self, cost: u64, act: Act) -> Result<Answer, StoreError> {
        self.shared.core.ask_store(self.ask(cost), act).await
    }
}

impl<A: Algorithm> Handle for StoredHandle<A> {
    fn from_instance(instance: Arc<dyn Any + Send + Sync>) -> Option<Self> {
        let shared: Arc<Shared> = instance.downcast().ok()?;
        let is_of_this_kind = shared.kind() == A::KIND && shared.core.keeper.is_some();
        is_of_this_kind.then(|| Self::new(shared))
    }
}
