use std::time::Duration;

use watertight_core::{Key, Name};

use crate::{Decision, LeakyBucket, Quota, Quotas, SlidingWindow};

/// What a [`Store`](super::Store) is asked to do, with all that it has to know for it.
#[derive(Clone, Copy, Debug)]
pub struct Order<'a> {
    /// Whose quotas they are: of a layer `api` it is `api`, of its plan `pro` it is `api/pro`.
    pub policy: Name,
    /// The key that has quotas of its own, `None` for calls that share those of the policy.
    pub key: Option<Key>,
    /// How much may come, and how it is counted.
    pub rule: Rule<'a>,
    /// What is to be done.
    pub act: Act,
    /// How long the call can wait for its turn, which only a leaky bucket has: until its deadline,
    /// and no longer than [`LeakyBucket::max_wait`].
    pub patience: Duration,
    /// How long the answer is waited for, which is [`StoreConfig::timeout`](super::StoreConfig::timeout)
    /// or what is left of it.
    ///
    /// A store that keeps count of its failures ends an order by itself then, with an error. It is
    /// polled once more when the time is over, before it is given up: what is dropped earlier is no
    /// failure, for its caller has gone away.
    pub timeout: Duration,
}

/// How much may come, and how it is counted. The settings are valid, and may be others than last
/// time: who has taken something before they were changed has still taken it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Rule<'a> {
    /// See [`TokenBucket`](crate::TokenBucket).
    TokenBucket(&'a Quotas),
    /// See [`SlidingWindow`].
    SlidingWindow(&'a Quotas, SlidingWindow),
    /// See [`LeakyBucket`].
    LeakyBucket(&'a Quota, LeakyBucket),
}

impl<'a> Rule<'a> {
    /// Returns the quotas that have all to be met.
    #[must_use]
    pub fn quotas(&self) -> &'a [Quota] {
        match self {
            Self::TokenBucket(quotas) | Self::SlidingWindow(quotas, _) => quotas.as_slice(),
            Self::LeakyBucket(quota, _) => std::slice::from_ref(quota),
        }
    }
}

/// What is done with quotas.
///
/// Of several quotas each is done the same to, or none is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Act {
    /// Takes so much, all of it or nothing. Nothing is always there. Of a leaky bucket it books a
    /// turn that begins within the order's patience.
    Take(u64),
    /// Takes what there is, up to so much. It is admitted if that is anything, and else refused like
    /// a cost of one. Of a leaky bucket it takes what may begin at once.
    TakeUpTo(u64),
    /// Gives back what was taken for nothing. There will not be more than the limit.
    GiveBack(u64),
    /// Gives a turn back whose call has gone away before it began, if no later turn depends on it.
    Leave {
        /// What the turn has taken.
        cost: u64,
        /// What the answer said that the turn goes by.
        turn: u64,
    },
    /// Takes so much whether it is there or not: a penalty, as far as
    /// [`Quota::max_debt`] goes.
    Charge(u64),
    /// Says what would become of a call that costs so much, and takes nothing.
    Peek(u64),
}

/// What a [`Store`](super::Store) answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Answer {
    /// What has been decided, and how the quotas stand. What only gives or charges is admitted.
    pub decision: Decision,
    /// How much has been taken.
    pub taken: u64,
    /// How long the call has to wait until its turn begins, zero where there are no turns.
    ///
    /// Of a call that is refused because its turn would begin too late, and for nothing else, it is
    /// how long that would be.
    pub wait: Duration,
    /// What the store knows the turn by, in an [`Act::Leave`] of the same key. It is the store's own
    /// business.
    pub turn: u64,
}

impl Answer {
    /// Makes the answer that has taken so much, of a store without turns.
    #[must_use]
    pub const fn new(decision: Decision, taken: u64) -> Self {
        Self {
            decision,
            taken,
            wait: Duration::ZERO,
            turn: 0,
        }
    }
}
