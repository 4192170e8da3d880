use std::fmt;
use std::hash::BuildHasher;
use std::mem;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::secret::Secret;
use super::shard::{Candidate, Shard};
use crate::{Key, Padded, stripe_count};

/// What a [`Keyed`] map holds for each key.
pub trait Entry {
    /// What would be lost if the entry were forgotten: 0 for nothing (an idle closed breaker), and
    /// the more the dearer. `None` if it must not be forgotten (an open breaker).
    ///
    /// It is asked under the lock of a shard: it must be quick, and not use the map.
    fn worth(&self) -> Option<u64>;
}

/// A map of heavy entries, such as breakers, by [`Key`], which never holds more than `max_keys`
/// of them, whatever clients send.
///
/// An entry that somebody holds an `Arc` of is in use, and stays. Of the others,
///
/// - those that carry nothing go once they have not been used for `idle`. New keys and
///   [`sweep`](Self::sweep) drive that, not the clock: a hit reads none.
/// - when a new key finds the map full, the one that carries least goes, and of equals one that
///   has not been used of late. In a map of up to 64 keys it is the least of all, in a larger one
///   the least of 64, so that a new key costs no more in a larger map.
///
/// Where none may go, the new key shares one overflow entry with all others in its position, for
/// as long as that is so.
///
/// Finding an entry takes the lock of one shard of the map.
pub struct Keyed<T> {
    shards: Box<[Padded<Mutex<Shard<T>>>]>,
    secret: Secret,
    /// Who wants a place in a full map waits for this. No shard is locked while waiting for it,
    /// and who has it locks one shard at a time.
    turn: Mutex<()>,
    max_keys: usize,
    /// How many places are taken, in all shards.
    taken: AtomicUsize,
    idle: u64,
    epoch: Instant,
    overflow: Arc<T>,
    evicted: AtomicU64,
    overflowed: AtomicU64,
}

/// How many entries a new key looks at to find one that carries less.
const CANDIDATES: usize = 64;

/// How many entries a new key looks at to find one that has expired. With more than one, they
/// expire faster than they come.
const EXPIRE_STEP: usize = 4;

/// How often a new key looks for a place when candidates are used just as they are to go.
const ATTEMPTS: usize = 3;

/// A shard is worth having for this many keys.
const KEYS_PER_SHARD: usize = 16;

impl<T: Entry> Keyed<T> {
    /// Makes an empty map for up to `max_keys` keys, at least one.
    #[must_use]
    pub fn new(max_keys: usize, idle: Duration, overflow: Arc<T>, now: Instant) -> Self {
        let max_keys = max_keys.max(1);
        let shards = (max_keys / KEYS_PER_SHARD).clamp(1, 4 * stripe_count());
        let secret = Secret::new();
        Self {
            shards: (0..1 << shards.ilog2())
                .map(|_| Padded(Mutex::new(Shard::new(secret.clone()))))
                .collect(),
            secret,
            turn: Mutex::new(()),
            max_keys,
            taken: AtomicUsize::new(0),
            idle: nanos(idle),
            epoch: now,
            overflow,
            evicted: AtomicU64::new(0),
            overflowed: AtomicU64::new(0),
        }
    }

    /// Returns the key's entry and marks it as used. Callers of one key that race each other get
    /// the same one.
    ///
    /// A key that has none is given the one that `make` returns, or shares the
    /// [overflow](Self::overflow) entry. `now` and `make` are called for a new key alone, and under
    /// the lock of a shard: they must not use the map. When one panics, the map is as before.
    pub fn get_or_insert(
        &self,
        key: Key,
        now: impl FnOnce() -> Instant,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let own = self.shard_of(key);
        // Dropped after the lock.
        let _gone;
        let mut shard = self.lock(own);
        if let Some(entry) = shard.touch(key) {
            return entry;
        }

        let now = self.time(now());
        _gone = self.expire(&mut shard, EXPIRE_STEP, now);
        match self.free_place() {
            Some(place) => place.settle(&mut shard, key, now, make),
            None => {
                drop(shard);
                self.replace(own, key, now, make)
            }
        }
    }

    /// Returns the key's entry, if it has one of its own. A look is not a use.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Arc<T>> {
        self.lock(self.shard_of(key)).get(key)
    }

    /// Returns the keys that have an entry, in no order.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        let mut keys = Vec::with_capacity(self.len());
        for shard in 0..self.shards.len() {
            keys.extend(self.lock(shard).iter().map(|(key, _)| key));
        }
        keys
    }

    /// Returns how many keys have an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Returns whether no key has an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `f` with each key and its entry, in no order, the overflow entry excepted.
    ///
    /// No lock is held while `f` runs: it may use the map. What comes or goes in the meantime may
    /// or may not be seen.
    pub fn for_each(&self, mut f: impl FnMut(Key, &Arc<T>)) {
        for shard in 0..self.shards.len() {
            let entries: Vec<_> = self
                .lock(shard)
                .iter()
                .map(|(key, entry)| (key, Arc::clone(entry)))
                .collect();
            for (key, entry) in &entries {
                f(*key, entry);
            }
        }
    }

    /// Returns the entry that keys share for which there is no place.
    #[must_use]
    pub const fn overflow(&self) -> &Arc<T> {
        &self.overflow
    }

    /// Returns how many entries had to go for a new one. Those that expired are not among them.
    #[must_use]
    pub fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Returns how often a key was given the overflow entry.
    #[must_use]
    pub fn overflowed(&self) -> u64 {
        self.overflowed.load(Ordering::Relaxed)
    }

    /// Looks at all entries, and forgets those that have expired. Not needed for the bound to hold:
    /// it frees memory that nobody has asked for.
    ///
    /// A use is dated by the first look after it, so an entry goes at the first sweep that comes
    /// `idle` or more after that look.
    pub fn sweep(&self, now: Instant) {
        let now = self.time(now);
        for index in 0..self.shards.len() {
            let _gone;
            let mut shard = self.lock(index);
            let all = shard.len();
            _gone = self.expire(&mut shard, all, now);
        }
    }

    /// Finds a place in a full map.
    #[cold]
    fn replace(&self, own: usize, key: Key, now: u64, make: impl FnOnce() -> T) -> Arc<T> {
        // Without turns, two callers of one key might both look for a place, and the one that finds
        // none would share the overflow entry while the other is about to insert its own.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = self.lock(own).touch(key) {
            return entry;
        }

        let place = self.free_place().or_else(|| self.evict(own, now));
        let mut shard = self.lock(own);
        if let Some(entry) = shard.touch(key) {
            return entry;
        }
        match place {
            Some(place) => place.settle(&mut shard, key, now, make),
            None => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                Arc::clone(&self.overflow)
            }
        }
    }

    /// Takes the place of the entry that carries least.
    fn evict(&self, own: usize, now: u64) -> Option<Place<'_>> {
        for _ in 0..ATTEMPTS {
            let (least, shard) = self.least(own, now)?;
            let gone = self.lock(shard).evict(&least);
            if gone.is_some() {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                return Some(Place { taken: &self.taken });
            }
        }
        None
    }

    /// Finds the entry that carries least, among those that the hands of the shards come to next.
    fn least(&self, own: usize, now: u64) -> Option<(Candidate, usize)> {
        let mut left = CANDIDATES;
        let mut least = None;
        for step in 0..self.shards.len() {
            let index = (own + step) & (self.shards.len() - 1);
            let candidate = self.lock(index).least(&mut left, now);
            least = least
                .into_iter()
                .chain(candidate.map(|candidate| (candidate, index)))
                .min();
            if left == 0 || least.is_some_and(|(least, _)| least.is_spent()) {
                break;
            }
        }
        least
    }

    fn expire(&self, shard: &mut Shard<T>, slots: usize, now: u64) -> Vec<Arc<T>> {
        let gone = shard.expire(slots, now.checked_sub(self.idle), now);
        self.taken.fetch_sub(gone.len(), Ordering::Relaxed);
        gone
    }

    fn free_place(&self) -> Option<Place<'_>> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.max_keys).then_some(taken + 1)
            })
            .ok()
            .map(|_| Place { taken: &self.taken })
    }

    #[allow(
        clippy::cast_possible_truncation,
        reason = "the bits that the shard's own table uses least"
    )]
    fn shard_of(&self, key: Key) -> usize {
        (self.secret.hash_one(key) >> 32) as usize & (self.shards.len() - 1)
    }

    fn lock(&self, shard: usize) -> MutexGuard<'_, Shard<T>> {
        // A shard is whole whenever code runs that is not ours and may panic.
        self.shards[shard]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn time(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }
}

impl<T> fmt::Debug for Keyed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("max_keys", &self.max_keys)
            .field("keys", &self.taken)
            .field("evicted", &self.evicted)
            .field("overflowed", &self.overflowed)
            .finish_non_exhaustive()
    }
}

/// A place in the map that no entry has yet. Dropping it gives it back.
struct Place<'a> {
    taken: &'a AtomicUsize,
}

impl Place<'_> {
    fn settle<T: Entry>(
        self,
        shard: &mut Shard<T>,
        key: Key,
        now: u64,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let entry = Arc::new(make());
        shard.insert(key, Arc::clone(&entry), now);
        mem::forget(self);
        entry
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Nanoseconds that are never the mark of a used entry.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos())
        .unwrap_or(u64::MAX)
        .min(u64::MAX - 1)
}
