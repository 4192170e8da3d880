use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, timeout};
use watertight_core::{BoxError, ConfigError};

use super::{Act, Answer, OnStoreFailure, Order, Rule, Share, Store, StoreError};
use crate::config::AnyConfig;
use crate::counts::Count;
use crate::machine::Plant;
use crate::verdict::Ask;
use crate::way::Core;

/// The store of a layer, for what no call waits for. Calls know it by its type.
pub(crate) struct Keeper {
    store: Box<dyn AnyStore>,
    /// How many orders are under way that nobody waits for.
    behind: AtomicUsize,
}

type Asking = Pin<Box<dyn Future<Output = Result<Answer, BoxError>> + Send>>;

trait AnyStore: Send + Sync {
    fn ask(&self, order: &Order<'_>) -> Asking;

    fn check(&self, rule: &Rule<'_>) -> Result<(), ConfigError>;
}

impl<St: Store> AnyStore for St {
    fn ask(&self, order: &Order<'_>) -> Asking {
        let asking = Store::ask(self, order);
        Box::pin(async { asking.await.map_err(Into::into) })
    }

    fn check(&self, rule: &Rule<'_>) -> Result<(), ConfigError> {
        Store::check(self, rule)
    }
}

impl Keeper {
    /// How many orders may be under way that nobody waits for. With more the store is too slow for
    /// them, and it would be memory that runs out.
    const MOST_BEHIND: usize = 1_024;

    pub(crate) fn new(store: impl Store) -> Self {
        Self {
            store: Box::new(store),
            behind: AtomicUsize::new(0),
        }
    }

    /// Checks whether the store can keep the quotas of a config.
    pub(crate) fn check(&self, config: &AnyConfig) -> Result<(), ConfigError> {
        let plant = Plant::new(config, Share::ALL);
        let mut all = [&config.quotas].into_iter().chain(config.plans.values());
        all.try_for_each(|quotas| self.store.check(&plant.rule(quotas)))
    }
}

impl fmt::Debug for Keeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keeper")
            .field("behind", &self.behind)
            .finish_non_exhaustive()
    }
}

impl Core {
    /// Asks the store of this layer, and waits for it no longer than calls do.
    pub(crate) async fn ask_store(&self, ask: Ask, act: Act) -> Result<Answer, StoreError> {
        let (asking, time) = {
            let Some(keeper) = &self.keeper else {
                unreachable!("the layer has a store");
            };
            let limits = self.limits.load();
            let order = limits.order(ask, act, Duration::ZERO);
            (keeper.store.ask(&order), limits.store.timeout)
        };
        let answer = match timeout(time, asking).await {
            Ok(answer) => answer.map_err(StoreError::of),
            Err(_) => Err(StoreError::TimedOut),
        };
        answer.inspect_err(|error| self.store_failed(error))
    }

    /// Counts and reports a failure of the store.
    #[cold]
    pub(crate) fn store_failed(&self, error: &StoreError) {
        self.counts.add(match error {
            StoreError::Failed(_) => Count::StoreFailed,
            StoreError::TimedOut => Count::StoreTimedOut,
        });
        self.reporter.store_failed(error, Instant::now());
    }

    /// Takes a penalty of who asks.
    pub(crate) fn charge(self: &Arc<Self>, ask: Ask) {
        if self.keeper.is_none() {
            return self.limits.load().charge(ask, Instant::now());
        }
        let core = Arc::clone(self);
        self.behind(async move {
            if core.ask_store(ask, Act::Charge(ask.cost)).await.is_err() {
                let limits = core.limits.load();
                if let OnStoreFailure::Local(_) = limits.store.on_failure {
                    limits.charge(ask, Instant::now());
                }
            }
        });
    }

    /// Tells the store what no call waits for.
    pub(crate) fn tell_store(self: &Arc<Self>, ask: Ask, act: Act) {
        let core = Arc::clone(self);
        self.behind(async move {
            // A failure has been counted, and that is all that can be done about it.
            let _ = core.ask_store(ask, act).await;
        });
    }

    /// Runs what no call waits for, in a task of its own: the call that it is of is over.
    pub(crate) fn behind(self: &Arc<Self>, work: impl Future<Output = ()> + Send + 'static) {
        let place = Place::take(self).zip(Handle::try_current().ok());
        let Some((place, runtime)) = place else {
            self.counts.add(Count::Untold);
            return;
        };
        runtime.spawn(async move {
            let _place = place;
            work.await;
        });
    }
}

/// A place among the orders that nobody waits for. Dropping it gives it back.
struct Place(Arc<Core>);

impl Place {
    fn take(core: &Arc<Core>) -> Option<Self> {
        let behind = &core.keeper.as_ref()?.behind;
        let place = Self(Arc::clone(core));
        let before = behind.fetch_add(1, Ordering::Relaxed);
        (before < Keeper::MOST_BEHIND).then_some(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(keeper) = &self.0.keeper {
            keeper.behind.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
