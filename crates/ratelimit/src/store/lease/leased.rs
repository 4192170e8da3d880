use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{ConfigError, Key, Keyed};

use super::asking::{Call, LeasedAsking};
use super::entry::{Lease, Step};
use super::error::LeaseError;
use super::permits::Permits;
use crate::Quota;
use crate::store::{Act, Order, Rule, Store};

/// A store that is asked for several permits at a time, which are then spent without it.
///
/// Made by [`lease`](crate::RateLimitBuilder::lease). A lease of n makes about 1/n round trips a
/// call, and costs exactness: what one process holds, another cannot have. In any time there pass at
/// most the burst, what comes in that time, and n for each process more. Choose n well below the
/// limit divided by the number of processes, or those that come late find nothing.
///
/// - A key starts with one permit, and gets twice as many each time that it has spent them, up to n:
///   one that comes once takes nothing from others.
/// - What is not spent lapses after the longest window of the quotas, ten seconds at least and an
///   hour at most: by then the store has got it back, and nobody counts on it any more. The next time
///   as much is taken as was spent.
/// - A process that gets less than it asks for does not ask again for as long as, at what it got, it
///   takes to get all of it, and no longer than half a window. Until then calls for which nothing is
///   left are refused here, and told so long.
/// - One call at a time asks for a key. Others wait for its answer; if it goes away, or has none after
///   a second, one of them asks, for no longer than it can wait itself. A failure of the store is one
///   of all that have waited for it, and so is a timeout that the store [itself](Order::timeout) ends.
/// - A penalty is taken out of what is held first. Looks do not see what is held.
///
/// A leaky bucket has turns, which cannot be held: it is asked for each call. So is a call that costs
/// more than n, or more than a quota holds.
pub struct Leased<St: Store> {
    store: St,
    most: u64,
    leases: Arc<Keyed<Lease<St::Error>>>,
}

impl<St: Store> Leased<St> {
    /// Under 20 MB, and more clients than most services have at a time. Those for which there is no
    /// room are asked for call by call.
    pub const MAX_KEYS: usize = 65_536;

    /// Takes up to `most` permits at a time of `store`, of each key. With 1, and with 0, each call
    /// asks.
    #[must_use]
    pub fn new(store: St, most: u64) -> Self {
        Self {
            store,
            most: most.max(1),
            leases: Self::leases(Self::MAX_KEYS),
        }
    }

    /// Sets for how many keys there are leases, at least 1. Default: 65,536. What is held already is
    /// forgotten.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.leases = Self::leases(keys);
        self
    }

    fn leases(keys: usize) -> Arc<Keyed<Lease<St::Error>>> {
        let none = Arc::new(Lease::new(Instant::now()));
        Arc::new(Keyed::new(keys, Permits::LAPSE_TO, none))
    }

    /// Returns the lease of who is asked about. `None` if there is no room for one.
    fn lease(&self, key: Key, now: Instant) -> Option<Arc<Lease<St::Error>>> {
        let lease = self.leases.get_or_insert(key, || now, || Lease::new(now));
        (!Arc::ptr_eq(&lease, self.leases.overflow())).then_some(lease)
    }

    /// Returns what a lease says of a call, `None` if it has none.
    fn take(&self, order: &Order<'_>, cost: u64) -> Option<LeasedAsking<St>> {
        let quotas = order.rule.quotas();
        let capacity = quotas.iter().map(Quota::capacity).min().unwrap_or(0);
        if !(1..=self.most.min(capacity)).contains(&cost) {
            return None;
        }
        if matches!(order.rule, Rule::LeakyBucket(..)) {
            return None;
        }
        let now = Instant::now();
        let lease = self.lease(key_of(order), now)?;
        match lease.step(cost, quotas, now) {
            Step::Answered(answer) => Some(LeasedAsking::answered(answer)),
            Step::Leads(lead, wanted) => {
                let call = Call::new(order, cost, self.most, now)?;
                Some(LeasedAsking::leads(lead, wanted, &self.store, call))
            }
            Step::Follows(follower) => {
                let call = Call::new(order, cost, self.most, now)?;
                Some(LeasedAsking::follows(follower, self.store.clone(), call))
            }
        }
    }

    /// Takes a penalty out of what is held, and the rest of the store.
    fn charge(&self, order: &Order<'_>, cost: u64) -> LeasedAsking<St> {
        let charged = match self.leases.get(key_of(order)) {
            Some(lease) => lease.charge(cost),
            None => Err(cost),
        };
        match charged {
            Ok(answer) => LeasedAsking::answered(answer),
            Err(more) => LeasedAsking::passes(self.store.ask(&Order {
                act: Act::Charge(more),
                ..*order
            })),
        }
    }
}

impl<St: Store> Store for Leased<St> {
    type Error = LeaseError<St::Error>;
    type Asking = LeasedAsking<St>;

    fn ask(&self, order: &Order<'_>) -> LeasedAsking<St> {
        let leased = match order.act {
            Act::Take(cost) => self.take(order, cost),
            Act::Charge(cost) => Some(self.charge(order, cost)),
            _ => None,
        };
        leased.unwrap_or_else(|| LeasedAsking::passes(self.store.ask(order)))
    }

    fn check(&self, rule: &Rule<'_>) -> Result<(), ConfigError> {
        self.store.check(rule)
    }
}

/// Returns the key of a lease: each policy has its own.
fn key_of(order: &Order<'_>) -> Key {
    Key::of((order.policy.as_str(), order.key.map(Key::as_u128)))
}

impl<St: Store> Clone for Leased<St> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            most: self.most,
            leases: Arc::clone(&self.leases),
        }
    }
}

impl<St: Store + fmt::Debug> fmt::Debug for Leased<St> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leased")
            .field("store", &self.store)
            .field("most", &self.most)
            .field("leases", &self.leases)
            .finish()
    }
}
