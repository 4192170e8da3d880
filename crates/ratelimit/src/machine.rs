use tokio::time::Instant;
use watertight_core::Key;

use crate::algorithm::AnyAlgorithm;
use crate::config::AnyConfig;
use crate::decision::Meter;
use crate::tables::Tables;
use crate::token_bucket::TokenBucket;
use crate::{Decision, Quotas, WhenFull};

/// The machine of whichever algorithm it is.
#[derive(Debug)]
pub(crate) enum Machine {
    TokenBucket(TokenBucket<Tables>),
}

/// What a machine is made for besides its quotas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plant {
    algorithm: AnyAlgorithm,
    max_keys: usize,
    when_full: WhenFull,
}

impl Plant {
    pub(crate) const fn new(config: &AnyConfig) -> Self {
        Self {
            algorithm: config.algorithm,
            max_keys: config.max_keys,
            when_full: config.when_full,
        }
    }

    /// Returns the one that counts all calls together.
    pub(crate) const fn of_total(self) -> Self {
        Self {
            algorithm: AnyAlgorithm::TokenBucket(crate::TokenBucket {}),
            ..self
        }
    }

    fn tables(&self, quotas: &Quotas) -> Tables {
        Tables::new(quotas.as_slice().len(), self.max_keys, self.when_full)
    }
}

impl Machine {
    /// Makes the machine of valid quotas.
    pub(crate) fn new(plant: &Plant, quotas: &Quotas, now: Instant) -> Self {
        match plant.algorithm {
            AnyAlgorithm::TokenBucket(_) => {
                Self::TokenBucket(TokenBucket::new(quotas, plant.tables(quotas), now))
            }
        }
    }

    /// Makes the machine of other quotas, which take the place of these at `now`.
    pub(crate) fn followed_by(&self, plant: &Plant, quotas: &Quotas, now: Instant) -> Self {
        match (self, plant.algorithm) {
            (Self::TokenBucket(before), AnyAlgorithm::TokenBucket(_)) => {
                Self::TokenBucket(before.followed_by(quotas, plant.tables(quotas), now))
            }
        }
    }

    /// Returns how many keys there are of which something is known. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        match self {
            Self::TokenBucket(machine) => machine.keys(now),
        }
    }

    /// Returns how many keys were forgotten for want of room. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        match self {
            Self::TokenBucket(machine) => machine.evicted(),
        }
    }
}

impl Meter for Machine {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        match self {
            Self::TokenBucket(machine) => machine.take(key, cost, now),
        }
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        match self {
            Self::TokenBucket(machine) => machine.take_up_to(key, most, now),
        }
    }

    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        match self {
            Self::TokenBucket(machine) => machine.peek(key, cost, now),
        }
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        match self {
            Self::TokenBucket(machine) => machine.give_back(key, cost, now),
        }
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        match self {
            Self::TokenBucket(machine) => machine.charge(key, cost, now),
        }
    }
}
