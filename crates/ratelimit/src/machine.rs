use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Key;

use crate::algorithm::AnyAlgorithm;
use crate::config::AnyConfig;
use crate::decision::Meter;
use crate::leaky::{Place, Turn, Turns};
use crate::store::{Rule, Share};
use crate::tables::Tables;
use crate::token_bucket::TokenBucket;
use crate::window::{Room, Window};
use crate::{Decision, Quota, Quotas};

/// The machine of whichever algorithm it is.
#[derive(Debug)]
pub(crate) enum Machine {
    TokenBucket(TokenBucket<Tables>),
    SlidingWindow(Window<Tables>),
    LeakyBucket(Turns<Tables>),
}

/// What a machine is made for besides its quotas.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Plant {
    algorithm: AnyAlgorithm,
    room: Room,
    /// How much of the quotas it grants.
    share: Share,
}

impl Plant {
    pub(crate) const fn new(config: &AnyConfig, share: Share) -> Self {
        Self {
            algorithm: config.algorithm,
            room: Room {
                max_keys: config.max_keys,
                when_full: config.when_full,
            },
            share,
        }
    }

    /// Returns the one that counts all calls together.
    pub(crate) const fn of_total(self) -> Self {
        Self {
            algorithm: AnyAlgorithm::TokenBucket(crate::TokenBucket {}),
            share: Share::ALL,
            ..self
        }
    }

    /// Returns how long calls may wait for their turns.
    pub(crate) fn max_wait(&self) -> Duration {
        match self.algorithm {
            AnyAlgorithm::LeakyBucket(setting) => setting.max_wait.unwrap_or(Duration::MAX),
            AnyAlgorithm::TokenBucket(_) | AnyAlgorithm::SlidingWindow(_) => Duration::MAX,
        }
    }

    /// Returns what an order of `quotas` to a store says of them.
    pub(crate) fn rule<'a>(&self, quotas: &'a Quotas) -> Rule<'a> {
        match self.algorithm {
            AnyAlgorithm::TokenBucket(_) => Rule::TokenBucket(quotas),
            AnyAlgorithm::SlidingWindow(setting) => Rule::SlidingWindow(quotas, setting),
            AnyAlgorithm::LeakyBucket(setting) => Rule::LeakyBucket(first(quotas), setting),
        }
    }

    fn tables(&self, quotas: &Quotas) -> Tables {
        Tables::new(quotas.as_slice().len(), self.room)
    }
}

macro_rules! each {
    ($machine:expr, $name:ident => $ask:expr) => {
        match $machine {
            Machine::TokenBucket($name) => $ask,
            Machine::SlidingWindow($name) => $ask,
            Machine::LeakyBucket($name) => $ask,
        }
    };
}

impl Machine {
    /// Makes the machine of valid quotas.
    pub(crate) fn new(plant: &Plant, quotas: &Quotas, now: Instant) -> Self {
        let (tables, quotas) = (plant.tables(quotas), &plant.share.of_quotas(quotas));
        match plant.algorithm {
            AnyAlgorithm::TokenBucket(_) => {
                Self::TokenBucket(TokenBucket::new(quotas, tables, now))
            }
            AnyAlgorithm::SlidingWindow(setting) => {
                Self::SlidingWindow(Window::new(setting, quotas, tables, plant.room, now))
            }
            AnyAlgorithm::LeakyBucket(setting) => {
                let setting = plant.share.of_pace(setting);
                Self::LeakyBucket(Turns::new(&setting, first(quotas), tables, now))
            }
        }
    }

    /// Makes the machine of other quotas, which take the place of these at `now`.
    pub(crate) fn followed_by(&self, plant: &Plant, quotas: &Quotas, now: Instant) -> Self {
        let (tables, shared) = (plant.tables(quotas), &plant.share.of_quotas(quotas));
        match (self, plant.algorithm) {
            (Self::TokenBucket(before), AnyAlgorithm::TokenBucket(_)) => {
                Self::TokenBucket(before.followed_by(shared, tables, now))
            }
            (Self::SlidingWindow(before), AnyAlgorithm::SlidingWindow(setting)) => {
                let next = before.followed_by(setting, shared, tables, plant.room, now);
                Self::SlidingWindow(next)
            }
            (Self::LeakyBucket(before), AnyAlgorithm::LeakyBucket(setting)) => {
                let (setting, quota) = (plant.share.of_pace(setting), first(shared));
                Self::LeakyBucket(before.followed_by(&setting, quota, tables, now))
            }
            _ => Self::new(plant, quotas, now),
        }
    }

    /// Makes room for keys, so that no call has to.
    pub(crate) fn make_room(&self) {
        each!(self, machine => machine.make_room());
    }

    /// Takes what a call costs, now or with a turn for which it waits no longer than `patience`.
    #[inline]
    pub(crate) fn arrive(
        &self,
        key: Option<Key>,
        cost: u64,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> (Decision, Option<Turn>) {
        let Self::LeakyBucket(turns) = self else {
            return (self.take(key, cost, now), None);
        };
        match turns.book(key, cost, now, patience) {
            Ok(turn) => (Decision::admitted(turns.status(&turn, now)), Some(turn)),
            Err(refused) => (refused, None),
        }
    }

    /// Does as [`arrive`](Self::arrive), and says no more of a call that has been let in.
    ///
    /// # Errors
    ///
    /// What is said of a call that has not.
    #[inline(always)]
    pub(crate) fn enter(
        &self,
        key: Option<Key>,
        cost: u64,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> Result<Option<Turn>, Decision> {
        match self {
            Self::TokenBucket(bucket) => bucket.pass(key, cost, now).map(|()| None),
            Self::SlidingWindow(window) => window.pass(key, cost, now).map(|()| None),
            Self::LeakyBucket(turns) => turns.book(key, cost, now, patience).map(Some),
        }
    }

    /// Gives back what a call has taken that is not made: its turn, if no later one depends on it.
    pub(crate) fn leave(&self, key: Option<Key>, cost: u64, turn: Option<&Turn>, now: Instant) {
        match (self, turn) {
            (Self::LeakyBucket(turns), Some(turn)) => {
                turns.give_turn_back(key, turn, now);
            }
            _ => self.give_back(key, cost, now),
        }
    }

    /// Returns the place in the queue of a call that has booked `turn` just now.
    pub(crate) fn place(&self, turn: Turn, now: Instant) -> Option<Place> {
        match self {
            Self::LeakyBucket(turns) => Some(turns.place(turn, now)),
            Self::TokenBucket(_) | Self::SlidingWindow(_) => None,
        }
    }

    /// Gives the turn of a call back that goes away from its `place` in the queue.
    pub(crate) fn leave_queue(&self, key: Option<Key>, place: &Place, now: Instant) {
        if let Self::LeakyBucket(turns) = self {
            turns.give_place_back(key, place, now);
        }
    }

    /// Returns how many keys there are of which something is known. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        each!(self, machine => machine.keys(now))
    }

    /// Returns how many keys were forgotten for want of room. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        each!(self, machine => machine.evicted())
    }
}

impl Meter for Machine {
    #[inline]
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        each!(self, machine => machine.take(key, cost, now))
    }

    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision) {
        each!(self, machine => machine.take_up_to(key, most, now))
    }

    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision {
        each!(self, machine => machine.peek(key, cost, now))
    }

    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant) {
        each!(self, machine => machine.give_back(key, cost, now));
    }

    fn charge(&self, key: Option<Key>, cost: u64, now: Instant) {
        each!(self, machine => machine.charge(key, cost, now));
    }
}

/// Returns the one quota of a pace.
fn first(quotas: &Quotas) -> &Quota {
    // A config is checked before a machine is made of it.
    quotas.as_slice().first().expect("there is a quota")
}
