use std::hash::BuildHasher;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::entry::Entry;
use super::secret::Secret;
use super::shard::{Candidate, Shard};
use crate::{Key, Padded, stripe_count};

/// The shards of a map, each with a lock of its own, and which of them each key is in.
pub(super) struct Shards<T> {
    shards: Box<[Padded<Mutex<Shard<T>>>]>,
    secret: Secret,
}

/// A shard is worth having for this many keys.
const KEYS_PER_SHARD: usize = 16;

/// How many entries a new key looks at to find one that carries less.
const CANDIDATES: usize = 64;

impl<T: Entry> Shards<T> {
    /// Makes as many as so many keys are worth.
    pub(super) fn new(max_keys: usize) -> Self {
        let shards = (max_keys / KEYS_PER_SHARD).clamp(1, 4 * stripe_count());
        let secret = Secret::new();
        Self {
            shards: (0..1 << shards.ilog2())
                .map(|_| Padded(Mutex::new(Shard::new(secret.clone()))))
                .collect(),
            secret,
        }
    }

    /// Returns the number of the shard that a key is in. Takes bits that the table of the shard
    /// makes the least use of.
    pub(super) fn of(&self, key: Key) -> usize {
        (self.secret.hash_one(key) >> 32) as usize & (self.shards.len() - 1)
    }

    pub(super) fn lock(&self, shard: usize) -> MutexGuard<'_, Shard<T>> {
        // A shard is whole whenever code runs that is not ours and may panic.
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the numbers of all shards.
    pub(super) fn numbers(&self) -> impl Iterator<Item = usize> + use<T> {
        0..self.shards.len()
    }

    /// Finds the entry that carries least, among those that the hands of the shards come to next,
    /// from the shard `first` on. Returns it with the number of its shard.
    pub(super) fn least(&self, first: usize, now: Instant) -> Option<(Candidate, usize)> {
        let mut left = CANDIDATES;
        let mut least = None;
        for step in self.numbers() {
            let number = (first + step) & (self.shards.len() - 1);
            let candidate = self.lock(number).least(&mut left, now);
            least = least
                .into_iter()
                .chain(candidate.map(|candidate| (candidate, number)))
                .min();
            if left == 0 || least.is_some_and(|(least, _)| least.is_spent(now)) {
                break;
            }
        }
        least
    }
}
