use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;

use tokio::time::Instant;

use super::entry::Entry;
use super::secret::Secret;
use crate::Key;

/// A part of the map: its entries in a row, round which a hand goes as round the face of a clock.
///
/// The hand looks for what may go. A use is marked in the entry, with or without the lock, and
/// dated by the hand when that next comes by.
pub(super) struct Shard<T> {
    places: HashMap<Key, usize, Secret>,
    slots: Vec<Slot<T>>,
    hand: usize,
}

struct Slot<T> {
    key: Key,
    entry: Arc<T>,
    /// The entry had not been used since, when the hand last came by.
    unused_since: Instant,
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
    pub(super) fn touch(&self, key: Key) -> Option<Arc<T>> {
        let entry = self.get(key)?;
        entry.used().set();
        Some(Arc::clone(entry))
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
    pub(super) fn insert(&mut self, key: Key, entry: Arc<T>, unused_since: Instant) {
        self.places.insert(key, self.slots.len());
        self.slots.push(Slot {
            key,
            entry,
            unused_since,
        });
    }

    /// Moves the hand to the first slot: in as many steps as there are slots it then misses none,
    /// whatever goes on the way.
    pub(super) const fn rewind(&mut self) {
        self.hand = 0;
    }

    /// Moves the hand over one slot, and takes out what is in it if nobody has used that since
    /// `before`.
    pub(super) fn expire(&mut self, before: Option<Instant>, now: Instant) -> Option<T> {
        let place = self.next()?;
        let slot = &mut self.slots[place];
        let unused_since = slot.pass(now);
        if unused_since > before? {
            return None;
        }
        let worth = slot.worth(now)?;
        let gone = self.take_out(place, worth, now)?;
        // The hand has yet to see what took the place.
        self.hand = place;
        Some(gone)
    }

    /// Moves the hand over up to `slots` slots, fewer if it meets one that carries nothing, and
    /// returns the one that carries least. Counts the slots off.
    pub(super) fn least(&mut self, slots: &mut usize, now: Instant) -> Option<Candidate> {
        let mut least: Option<Candidate> = None;
        for _ in 0..self.slots.len() {
            if *slots == 0 || least.is_some_and(|least| least.is_spent(now)) {
                break;
            }
            let Some(place) = self.next() else { break };
            *slots -= 1;
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
    pub(super) fn evict(&mut self, candidate: &Candidate, now: Instant) -> Option<T> {
        let place = *self.places.get(&candidate.key)?;
        if self.slots[place].unused_since != candidate.unused_since {
            return None;
        }
        self.take_out(place, candidate.worth, now)
    }

    /// Takes an entry out that may go if it carries no more than `worth`.
    ///
    /// Whoever has found it of late may use it at any moment, whatever is locked here. So it is
    /// looked at once it is nobody's any more, and put back if it has been used until then.
    fn take_out(&mut self, place: usize, worth: u64, now: Instant) -> Option<T> {
        let slot = self.remove(place);
        let (entry, panic) = match Arc::try_unwrap(slot.entry) {
            Ok(entry) => match catch_unwind(AssertUnwindSafe(|| may_go(&entry, worth, now))) {
                Ok(true) => return Some(entry),
                Ok(false) => (Arc::new(entry), None),
                Err(panic) => (Arc::new(entry), Some(panic)),
            },
            Err(entry) => (entry, None),
        };
        self.put_back(place, Slot { entry, ..slot });
        panic.map(|panic| resume_unwind(panic))
    }

    /// Returns the place under the hand, if there is any, and moves the hand on.
    fn next(&mut self) -> Option<usize> {
        let place = if self.hand < self.slots.len() {
            self.hand
        } else {
            0
        };
        self.hand = place + 1;
        (place < self.slots.len()).then_some(place)
    }

    fn remove(&mut self, place: usize) -> Slot<T> {
        let slot = self.slots.swap_remove(place);
        self.places.remove(&slot.key);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.key, place);
        }
        slot
    }

    /// Puts a slot back where it has just been removed.
    fn put_back(&mut self, place: usize, slot: Slot<T>) {
        self.places.insert(slot.key, place);
        if let Some(moved) = self.slots.get(place) {
            self.places.insert(moved.key, self.slots.len());
        }
        self.slots.push(slot);
        let last = self.slots.len() - 1;
        self.slots.swap(place, last);
    }
}

fn may_go<T: Entry>(entry: &T, worth: u64, now: Instant) -> bool {
    !entry.used().is_set() && entry.worth(now).is_some_and(|carries| carries <= worth)
}

impl<T: Entry> Slot<T> {
    /// Dates the last use, if that is yet to be done.
    fn pass(&mut self, now: Instant) -> Instant {
        if self.entry.used().is_set() {
            self.entry.used().clear();
            self.unused_since = now;
        }
        self.unused_since
    }

    /// What would be lost with the entry. `None` if it must stay, or somebody holds it.
    fn worth(&self, now: Instant) -> Option<u64> {
        (Arc::strong_count(&self.entry) == 1)
            .then(|| self.entry.worth(now))
            .flatten()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::Used;

    const SECOND: Duration = Duration::from_secs(1);

    /// An entry to which something happens just after it was first asked what it carries.
    #[derive(Default)]
    struct Asked {
        carries: AtomicU64,
        then: Mutex<Option<Box<dyn FnOnce() + Send>>>,
        used: Used,
    }

    impl Entry for Asked {
        fn worth(&self, _: Instant) -> Option<u64> {
            let carries = self.carries.load(Ordering::Relaxed);
            let then = self.then.lock().unwrap().take();
            if let Some(then) = then {
                then();
            }
            Some(carries)
        }

        fn used(&self) -> &Used {
            &self.used
        }
    }

    /// Makes a shard of one entry, to which `then` happens by way of somebody who remembers it.
    fn shard(then: impl FnOnce(Arc<Asked>) + Send + 'static) -> (Shard<Asked>, Instant) {
        let (mut shard, now) = (Shard::new(Secret::new()), Instant::now());
        let entry = Arc::new(Asked::default());
        let remembered = Arc::downgrade(&entry);
        let then = move || then(remembered.upgrade().unwrap());
        *entry.then.lock().unwrap() = Some(Box::new(then));
        shard.insert(Key::of(1_u64), entry, now);
        (shard, now + 10 * SECOND)
    }

    /// Returns whether the one entry expires, having not been used for five seconds.
    fn expires(shard: &mut Shard<Asked>, now: Instant) -> bool {
        shard.expire(Some(now - 5 * SECOND), now).is_some()
    }

    /// Returns whether the one entry goes for want of room.
    fn gives_way(shard: &mut Shard<Asked>, now: Instant) -> bool {
        let least = shard.least(&mut 1, now).unwrap();
        shard.evict(&least, now).is_some()
    }

    #[test]
    fn one_that_nobody_uses_goes() {
        for goes in [expires, gives_way] {
            let (mut shard, now) = shard(drop);

            assert!(goes(&mut shard, now));
            assert!(shard.get(Key::of(1_u64)).is_none());
        }
    }

    #[test]
    fn one_that_is_used_just_as_it_is_to_go_stays_as_if_used_now() {
        for goes in [expires, gives_way] {
            let (mut shard, now) = shard(|entry| entry.used().set());

            assert!(!goes(&mut shard, now));

            assert!(shard.get(Key::of(1_u64)).is_some());
            assert!(!expires(&mut shard, now));
            assert!(!expires(&mut shard, now + 4 * SECOND));
            assert!(expires(&mut shard, now + 5 * SECOND));
        }
    }

    #[test]
    fn one_that_is_held_just_as_it_is_to_go_stays_the_same() {
        for goes in [expires, gives_way] {
            let (hold, held) = channel();
            let (mut shard, now) = shard(move |entry| hold.send(entry).unwrap());

            assert!(!goes(&mut shard, now));

            let held = held.recv().unwrap();
            assert!(Arc::ptr_eq(&held, shard.get(Key::of(1_u64)).unwrap()));
        }
    }

    #[test]
    fn one_that_comes_to_carry_more_just_as_it_is_to_go_stays() {
        for goes in [expires, gives_way] {
            let (mut shard, now) = shard(|entry| entry.carries.store(1, Ordering::Relaxed));

            assert!(!goes(&mut shard, now));

            let kept = shard.get(Key::of(1_u64)).unwrap();
            assert_eq!(kept.carries.load(Ordering::Relaxed), 1);
        }
    }

    #[test]
    fn one_whose_use_was_dated_since_it_was_chosen_stays() {
        let (mut shard, now) = shard(drop);
        let least = shard.least(&mut 1, now).unwrap();

        shard.touch(Key::of(1_u64));
        assert!(!expires(&mut shard, now));

        assert!(shard.evict(&least, now).is_none());
        assert!(shard.get(Key::of(1_u64)).is_some());
    }

    #[test]
    fn those_that_stay_are_found_after_one_was_put_back() {
        let (mut shard, now) = shard(|entry| entry.used().set());
        for key in 2..5_u64 {
            shard.insert(Key::of(key), Arc::default(), now);
        }

        assert!(!expires(&mut shard, now));

        let at = |(key, entry): (Key, &Arc<Asked>)| Arc::ptr_eq(entry, shard.get(key).unwrap());
        assert!(shard.iter().all(at));
        assert_eq!(shard.len(), 4);
    }
}
