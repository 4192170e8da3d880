use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use super::map::Entry;
use super::secret::Secret;
use crate::Key;

/// A part of the map: its entries in a row, round which a hand goes as round the face of a clock.
///
/// The hand looks for what may go. A use is marked under the lock that it takes anyway, and
/// dated by the hand when that next comes by.
pub(super) struct Shard<T> {
    places: HashMap<Key, usize, Secret>,
    slots: Vec<Slot<T>>,
    hand: usize,
}

struct Slot<T> {
    key: Key,
    entry: Arc<T>,
    /// The entry has not been used since. `None` if it has been used since the hand last came by.
    unused_since: Option<Instant>,
}

/// An entry that may go. The first in order goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Candidate {
    worth: u64,
    unused_since: Instant,
    key: Key,
}

impl Candidate {
    /// Whether it carries nothing and was not in use of late: no need to look for a better one.
    pub(super) fn is_spent(&self, now: Instant) -> bool {
        self.worth == 0 && self.unused_since < now
    }
}

impl<T: Entry> Shard<T> {
    pub(super) fn new(secret: Secret) -> Self {
        Self {
            places: HashMap::with_hasher(secret),
            slots: Vec::new(),
            hand: 0,
        }
    }

    /// Finds an entry and marks it as used.
    pub(super) fn touch(&mut self, key: Key) -> Option<Arc<T>> {
        let slot = &mut self.slots[*self.places.get(&key)?];
        slot.unused_since = None;
        Some(Arc::clone(&slot.entry))
    }

    pub(super) fn get(&self, key: Key) -> Option<&Arc<T>> {
        let place = *self.places.get(&key)?;
        Some(&self.slots[place].entry)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, &Arc<T>)> {
        self.slots.iter().map(|slot| (slot.key, &slot.entry))
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Adds an entry for a key that has none.
    pub(super) fn insert(&mut self, key: Key, entry: Arc<T>, now: Instant) {
        self.places.insert(key, self.slots.len());
        self.slots.push(Slot {
            key,
            entry,
            unused_since: Some(now),
        });
    }

    /// Moves the hand over `slots` slots and takes out what nobody has used since `before`.
    pub(super) fn expire(
        &mut self,
        slots: usize,
        before: Option<Instant>,
        now: Instant,
    ) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        for _ in 0..slots.min(self.slots.len()) {
            let place = self.next();
            let slot = &mut self.slots[place];
            let unused_since = slot.pass(now);
            let is_idle = before.is_some_and(|before| unused_since <= before);
            if is_idle && slot.worth(now).is_some() {
                gone.push(self.remove(place));
                // The hand has yet to see what took the place.
                self.hand = place;
            }
        }
        gone
    }

    /// Moves the hand over up to `slots` slots, fewer if it meets one that carries nothing, and
    /// returns the one that carries least. Counts the slots off.
    pub(super) fn least(&mut self, slots: &mut usize, now: Instant) -> Option<Candidate> {
        let mut least: Option<Candidate> = None;
        for _ in 0..self.slots.len() {
            if *slots == 0 || least.is_some_and(|least| least.is_spent(now)) {
                break;
            }
            *slots -= 1;
            let place = self.next();
            let slot = &mut self.slots[place];
            let unused_since = slot.pass(now);
            let candidate = slot.worth(now).map(|worth| Candidate {
                worth,
                unused_since,
                key: slot.key,
            });
            least = least.into_iter().chain(candidate).min();
        }
        least
    }

    /// Takes a candidate out, unless it has been used or has come to carry more in the meantime.
    pub(super) fn evict(&mut self, candidate: &Candidate, now: Instant) -> Option<Arc<T>> {
        let place = *self.places.get(&candidate.key)?;
        let slot = &self.slots[place];
        let stands = slot.unused_since == Some(candidate.unused_since)
            && slot
                .worth(now)
                .is_some_and(|worth| worth <= candidate.worth);
        stands.then(|| self.remove(place))
    }

    /// Returns the place under the hand, and moves the hand on.
    fn next(&mut self) -> usize {
        let place = if self.hand < self.slots.len() {
            self.hand
        } else {
            0
        };
        self.hand = place + 1;
        place
    }

    fn remove(&mut self, place: usize) -> Arc<T> {
        let slot = self.slots.swap_remove(place);
        self.places.remove(&slot.key);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.key, place);
        }
        slot.entry
    }
}

impl<T: Entry> Slot<T> {
    /// Dates the last use, if that is yet to be done.
    fn pass(&mut self, now: Instant) -> Instant {
        *self.unused_since.get_or_insert(now)
    }

    /// What would be lost with the entry. Nobody can come to hold an entry that only the map holds
    /// as long as its shard is locked.
    fn worth(&self, now: Instant) -> Option<u64> {
        (Arc::strong_count(&self.entry) == 1)
            .then(|| self.entry.worth(now))
            .flatten()
    }
}
