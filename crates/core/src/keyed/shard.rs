use std::collections::HashMap;
use std::sync::Arc;

use super::map::Entry;
use super::secret::Secret;
use crate::Key;

/// A part of the map: its entries in a row, round which a hand goes as round the face of a clock.
///
/// The hand looks for what may go. A use is marked by one word under the lock that the use takes
/// anyway, and the hand, when it next comes by, puts its own time in the place of the mark.
pub(super) struct Shard<T> {
    places: HashMap<Key, usize, Secret>,
    slots: Vec<Slot<T>>,
    hand: usize,
}

struct Slot<T> {
    key: Key,
    entry: Arc<T>,
    /// The entry has not been used since this time, or is [`USED`].
    seen: u64,
}

/// In the place of a time: used since the hand last came by.
const USED: u64 = u64::MAX;

/// An entry that may go. The first in order goes first.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Candidate {
    worth: u64,
    seen: u64,
    key: Key,
}

impl Candidate {
    /// Whether it carries nothing and was not in use of late: no need to look for a better one.
    pub(super) fn is_spent(&self, now: u64) -> bool {
        self.worth == 0 && self.seen < now
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
        slot.seen = USED;
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
    pub(super) fn insert(&mut self, key: Key, entry: Arc<T>, now: u64) {
        self.places.insert(key, self.slots.len());
        self.slots.push(Slot {
            key,
            entry,
            seen: now,
        });
    }

    /// Moves the hand over `slots` slots and takes out what nobody has used since `before`.
    pub(super) fn expire(&mut self, slots: usize, before: Option<u64>, now: u64) -> Vec<Arc<T>> {
        let mut gone = Vec::new();
        for _ in 0..slots.min(self.slots.len()) {
            let place = self.next();
            let slot = &mut self.slots[place];
            slot.pass(now);
            if before.is_some_and(|before| slot.seen <= before) && slot.worth().is_some() {
                gone.push(self.remove(place));
                // The hand has yet to see what took the place.
                self.hand = place;
            }
        }
        gone
    }

    /// Moves the hand over up to `slots` slots, fewer if it meets one that carries nothing, and
    /// returns the one that carries least. Counts the slots off.
    pub(super) fn least(&mut self, slots: &mut usize, now: u64) -> Option<Candidate> {
        let mut least: Option<Candidate> = None;
        for _ in 0..self.slots.len() {
            if *slots == 0 || least.is_some_and(|least| least.is_spent(now)) {
                break;
            }
            *slots -= 1;
            let place = self.next();
            let slot = &mut self.slots[place];
            slot.pass(now);
            let candidate = slot.worth().map(|worth| Candidate {
                worth,
                seen: slot.seen,
                key: slot.key,
            });
            least = least.into_iter().chain(candidate).min();
        }
        least
    }

    /// Takes a candidate out, unless it has been used or has come to carry more in the meantime.
    pub(super) fn evict(&mut self, candidate: &Candidate) -> Option<Arc<T>> {
        let place = *self.places.get(&candidate.key)?;
        let slot = &self.slots[place];
        let stands = slot.seen == candidate.seen
            && slot.worth().is_some_and(|worth| worth <= candidate.worth);
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
    /// Puts the time in the place of the mark, if there is one.
    fn pass(&mut self, now: u64) {
        if self.seen == USED {
            self.seen = now;
        }
    }

    /// What would be lost with the entry. Nobody can come to hold an entry that only the map holds
    /// as long as its shard is locked.
    fn worth(&self) -> Option<u64> {
        (Arc::strong_count(&self.entry) == 1)
            .then(|| self.entry.worth())
            .flatten()
    }
}
