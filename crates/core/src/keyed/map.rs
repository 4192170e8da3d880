use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::entry::Entry;
use super::places::{Place, Places};
use super::recent::{Look, Recent};
use super::shard::Shard;
use super::shards::Shards;
use crate::Key;

/// A map of heavy entries, such as breakers, by [`Key`], which never holds more than `max_keys`
/// of them, whatever clients send.
///
/// An entry that somebody holds an `Arc` of is in use, and stays. Of the others,
///
/// - those that have not been used for `idle` go, if they may: what they carry is as old. New keys
///   and [`sweep`](Self::sweep) drive that, not the clock: a hit reads none.
/// - when a new key finds the map full, the one that carries least goes, and of equals one that
///   has not been used of late. In a map of up to 64 keys it is the least of all, in a larger one
///   the least of 64, so that a new key costs no more in a larger map.
///
/// Where none may go, the new key shares one overflow entry with all others in its position, for
/// as long as that is so.
///
/// Finding an entry takes the lock of one shard of the map. A thread finds one that it has found of
/// late without: it remembers up to 64, of all maps together. That does not keep an entry alive,
/// only the memory that it was in, until the thread remembers another in its place or ends.
pub struct Keyed<T> {
    shards: Shards<T>,
    recent: Recent,
    places: Places,
    /// Who wants a place in a full map waits for this. No shard is locked while waiting for it,
    /// and who has it locks one shard at a time.
    turn: Mutex<()>,
    idle: Duration,
    overflow: Arc<T>,
    evicted: AtomicU64,
    overflowed: AtomicU64,
}

/// How many entries a new key looks at to find one that has expired. With more than one, they
/// expire faster than they come.
const EXPIRE_STEP: usize = 4;

/// How often a new key looks for a place when candidates are used just as they are to go.
const ATTEMPTS: usize = 3;

impl<T: Entry> Keyed<T> {
    /// Makes an empty map for up to `max_keys` keys, at least one.
    #[must_use]
    pub fn new(max_keys: usize, idle: Duration, overflow: Arc<T>) -> Self {
        let max_keys = max_keys.max(1);
        Self {
            shards: Shards::new(max_keys),
            recent: Recent::new(),
            places: Places::new(max_keys),
            turn: Mutex::new(()),
            idle,
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
    #[inline]
    pub fn get_or_insert(
        &self,
        key: Key,
        now: impl FnOnce() -> Instant,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        match self.recent.look::<T>(key) {
            Look::Hit(entry) => {
                entry.used().set();
                entry
            }
            Look::Miss { again } => {
                let entry = self.find_or_insert(key, now, make);
                if again && !Arc::ptr_eq(&entry, &self.overflow) {
                    self.recent.keep(key, &entry);
                }
                entry
            }
        }
    }

    /// Returns the key's entry, if it has one of its own. A look is not a use.
    #[must_use]
    pub fn get(&self, key: Key) -> Option<Arc<T>> {
        self.look(key, Arc::clone)
    }

    /// Returns the keys that have an entry, in no order.
    #[must_use]
    pub fn keys(&self) -> Vec<Key> {
        self.look_at_all(|key, _| key)
    }

    /// Returns how many keys have an entry.
    #[must_use]
    pub fn len(&self) -> usize {
        self.places.taken()
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
        for (key, entry) in self.look_at_all(|key, entry| (key, Arc::clone(entry))) {
            f(key, &entry);
        }
    }

    /// Returns what `look` makes of the key's entry, if it has one of its own. It is called under
    /// the lock of a shard, and so sees who else holds the entry: it must be quick, and not use the
    /// map.
    pub fn look<R>(&self, key: Key, look: impl FnOnce(&Arc<T>) -> R) -> Option<R> {
        self.shards.lock(self.shards.of(key)).get(key).map(look)
    }

    /// Returns what `look` makes of each key and its entry, in no order, the overflow entry
    /// excepted. It is called as by [`look`](Self::look).
    pub fn look_at_all<R>(&self, mut look: impl FnMut(Key, &Arc<T>) -> R) -> Vec<R> {
        let mut seen = Vec::with_capacity(self.len());
        for number in self.shards.numbers() {
            let shard = self.shards.lock(number);
            seen.extend(shard.iter().map(|(key, entry)| look(key, entry)));
        }
        seen
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
        for number in self.shards.numbers() {
            // Dropped after the lock.
            let mut gone = Vec::new();
            let mut shard = self.shards.lock(number);
            shard.rewind();
            let all = shard.len();
            self.expire(&mut shard, all, now, &mut gone);
        }
    }

    fn find_or_insert(
        &self,
        key: Key,
        now: impl FnOnce() -> Instant,
        make: impl FnOnce() -> T,
    ) -> Arc<T> {
        let own = self.shards.of(key);
        // Dropped after the lock.
        let mut gone = Vec::new();
        let mut shard = self.shards.lock(own);
        if let Some(entry) = shard.touch(key) {
            return entry;
        }

        let now = now();
        self.expire(&mut shard, EXPIRE_STEP, now, &mut gone);
        match self.places.take() {
            Some(place) => settle(place, &mut shard, key, now, make),
            None => {
                drop(shard);
                self.replace(own, key, now, make)
            }
        }
    }

    /// Finds a place in a full map.
    #[cold]
    fn replace(&self, own: usize, key: Key, now: Instant, make: impl FnOnce() -> T) -> Arc<T> {
        // Dropped after the turn.
        let mut gone = None;
        // Without turns, two callers of one key might both look for a place, and the one that finds
        // none would share the overflow entry while the other is about to insert its own.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = self.shards.lock(own).touch(key) {
            return entry;
        }

        let free = self.places.take();
        let place = free.or_else(|| {
            gone = self.evict(own, now);
            gone.as_ref().map(|_| self.places.left())
        });
        let mut shard = self.shards.lock(own);
        if let Some(entry) = shard.touch(key) {
            return entry;
        }
        match place {
            Some(place) => settle(place, &mut shard, key, now, make),
            None => {
                self.overflowed.fetch_add(1, Ordering::Relaxed);
                Arc::clone(&self.overflow)
            }
        }
    }

    /// Takes the entry out that carries least. Its place is taken still.
    fn evict(&self, own: usize, now: Instant) -> Option<T> {
        for _ in 0..ATTEMPTS {
            let (least, shard) = self.shards.least(own, now)?;
            let gone = self.shards.lock(shard).evict(&least, now);
            if gone.is_some() {
                self.evicted.fetch_add(1, Ordering::Relaxed);
                return gone;
            }
        }
        None
    }

    /// Puts those of the next `slots` entries into `gone` that have expired.
    fn expire(&self, shard: &mut Shard<T>, slots: usize, now: Instant, gone: &mut Vec<T>) {
        let before = now.checked_sub(self.idle);
        for _ in 0..slots.min(shard.len()) {
            if let Some(entry) = shard.expire(before, now) {
                drop(self.places.left());
                gone.push(entry);
            }
        }
    }
}

/// Has an entry made that takes the place.
fn settle<T: Entry>(
    place: Place<'_>,
    shard: &mut Shard<T>,
    key: Key,
    now: Instant,
    make: impl FnOnce() -> T,
) -> Arc<T> {
    let entry = Arc::new(make());
    shard.insert(key, Arc::clone(&entry), now);
    place.settle();
    entry
}

impl<T> fmt::Debug for Keyed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyed")
            .field("max_keys", &self.places.most())
            .field("keys", &self.places.taken())
            .field("evicted", &self.evicted)
            .field("overflowed", &self.overflowed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::AtomicUsize;
    use std::sync::{Barrier, Weak, mpsc};
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::Used;

    const SECOND: Duration = Duration::from_secs(1);
    const IDLE: Duration = Duration::from_secs(60);

    /// An entry of a worth that the test sets.
    #[derive(Debug)]
    struct Thing {
        worth: Mutex<Option<u64>>,
        used: Used,
    }

    impl Thing {
        fn new(worth: Option<u64>) -> Self {
            Self {
                worth: Mutex::new(worth),
                used: Used::default(),
            }
        }

        fn set(&self, worth: Option<u64>) {
            *self.worth.lock().unwrap() = worth;
        }
    }

    impl Entry for Thing {
        fn worth(&self, _: Instant) -> Option<u64> {
            *self.worth.lock().unwrap()
        }

        fn used(&self) -> &Used {
            &self.used
        }
    }

    fn keyed(max_keys: usize) -> (Keyed<Thing>, Instant) {
        let now = Instant::now();
        let overflow = Arc::new(Thing::new(None));
        (Keyed::new(max_keys, IDLE, overflow), now)
    }

    fn insert(keyed: &Keyed<Thing>, key: u64, now: Instant, worth: Option<u64>) -> Arc<Thing> {
        keyed.get_or_insert(Key::of(key), || now, || Thing::new(worth))
    }

    /// Has the calling thread remember the key's entry.
    fn remember(keyed: &Keyed<Thing>, key: u64, now: Instant) -> Arc<Thing> {
        for _ in 0..2 {
            insert(keyed, key, now, Some(0));
        }
        let Look::Hit(entry) = keyed.recent.look(Key::of(key)) else {
            panic!("not remembered");
        };
        entry
    }

    fn has(keyed: &Keyed<Thing>, key: u64) -> bool {
        keyed.get(Key::of(key)).is_some()
    }

    #[test]
    fn a_key_keeps_its_entry_and_a_hit_reads_no_clock() {
        let (keyed, now) = keyed(4);
        let made = insert(&keyed, 1, now, Some(0));

        let found = keyed.get_or_insert(
            Key::of(1_u64),
            || panic!("reads the clock"),
            || panic!("makes another"),
        );

        assert!(Arc::ptr_eq(&made, &found));
        assert_eq!(keyed.keys(), [Key::of(1_u64)]);
    }

    #[test]
    fn the_entry_that_carries_least_goes() {
        let (keyed, now) = keyed(64);
        for key in 0..64 {
            insert(&keyed, key, now, Some(if key == 40 { 1 } else { 2 + key }));
        }

        insert(&keyed, 100, now, Some(0));

        assert!(!has(&keyed, 40));
        assert_eq!((keyed.len(), keyed.evicted()), (64, 1));
    }

    #[test]
    fn of_equals_one_that_is_not_used_goes() {
        for worth in [0, 3] {
            let (keyed, now) = keyed(8);
            for key in 0..8 {
                insert(&keyed, key, now, Some(worth));
            }
            for key in (0..8).filter(|key| *key != 5) {
                insert(&keyed, key, now, None);
            }

            insert(&keyed, 100, now + SECOND, Some(worth));

            assert!(!has(&keyed, 5), "{worth}");
        }
    }

    #[test]
    fn a_new_key_takes_the_place_of_a_neighbour() {
        let (keyed, now) = keyed(200);
        for key in 0..200 {
            insert(&keyed, key, now, Some(0));
        }
        let sizes = || -> Vec<_> {
            let numbers = keyed.shards.numbers();
            numbers.map(|it| keyed.shards.lock(it).len()).collect()
        };
        let before = sizes();

        for key in 200..400 {
            let now = now + Duration::from_millis(key);
            insert(&keyed, key, now, Some(0));
        }

        assert!(before.len() > 1);
        assert_eq!(sizes(), before);
    }

    #[test]
    fn the_only_entry_that_may_go_is_found_wherever_it_is() {
        let (keyed, now) = keyed(64);
        for key in 0..64 {
            insert(&keyed, key, now, None);
        }

        for key in 0..64 {
            keyed.get(Key::of(key)).unwrap().set(Some(9));
            insert(&keyed, 100 + key, now, None);
            assert!(!has(&keyed, key));
        }

        assert_eq!((keyed.evicted(), keyed.overflowed()), (64, 0));
    }

    #[test]
    fn a_thread_finds_again_what_it_found_of_late_without_a_lock() {
        let (keyed, now) = keyed(4);
        let keyed = &keyed;
        let (say, hear) = mpsc::channel();
        let (reply, answer) = mpsc::channel();

        let found = thread::scope(|scope| {
            scope.spawn(move || {
                let remembered = remember(keyed, 1, now);
                say.send(()).unwrap();
                answer.recv().unwrap();
                let found = insert(keyed, 1, now, Some(0));
                assert!(Arc::ptr_eq(&remembered, &found));
                say.send(()).unwrap();
            });
            hear.recv().unwrap();
            let _locked = keyed.shards.lock(keyed.shards.of(Key::of(1_u64)));
            reply.send(()).unwrap();
            hear.recv_timeout(10 * SECOND)
        });

        assert_eq!(found, Ok(()), "waits for the lock");
    }

    #[test]
    fn a_use_without_a_lock_is_a_use() {
        let (keyed, now) = keyed(2);
        drop(remember(&keyed, 1, now));
        insert(&keyed, 2, now, Some(0));
        keyed.sweep(now + SECOND);

        insert(&keyed, 1, now, Some(0));
        keyed.sweep(now + IDLE);
        assert!(has(&keyed, 1) && !has(&keyed, 2));

        insert(&keyed, 2, now + IDLE, Some(0));
        insert(&keyed, 1, now, Some(0));
        insert(&keyed, 3, now + IDLE + SECOND, Some(0));
        assert!(has(&keyed, 1) && !has(&keyed, 2));
    }

    #[test]
    fn an_entry_that_went_is_made_anew() {
        let (keyed, now) = keyed(1);
        let old = Arc::downgrade(&remember(&keyed, 1, now));

        insert(&keyed, 2, now, Some(0));
        assert_eq!(old.strong_count(), 0);
        let new = insert(&keyed, 1, now, Some(0));

        assert!(Arc::ptr_eq(&new, &keyed.get(Key::of(1_u64)).unwrap()));
        drop(new);
        assert!(Arc::ptr_eq(
            &remember(&keyed, 1, now),
            &insert(&keyed, 1, now, Some(0))
        ));
    }

    #[test]
    fn an_entry_goes_with_the_map_though_it_is_remembered() {
        let (keyed, now) = keyed(1);
        let entry = Arc::downgrade(&remember(&keyed, 1, now));

        drop(keyed);

        assert_eq!(entry.strong_count(), 0);
    }

    #[test]
    fn a_place_that_is_shared_is_not_remembered() {
        let (keyed, now) = keyed(1);
        insert(&keyed, 1, now, None);
        for _ in 0..5 {
            let shared = insert(&keyed, 2, now, Some(0));
            assert!(Arc::ptr_eq(&shared, keyed.overflow()));
        }

        keyed.get(Key::of(1_u64)).unwrap().set(Some(0));

        let own = insert(&keyed, 2, now, Some(0));
        assert!(!Arc::ptr_eq(&own, keyed.overflow()));
    }

    #[test]
    fn maps_of_one_key_are_told_apart() {
        let ((one, now), (other, _)) = (keyed(4), keyed(4));
        let entries = [&one, &other].map(|keyed| remember(keyed, 1, now));

        for _ in 0..3 {
            let found = [&one, &other].map(|keyed| insert(keyed, 1, now, Some(0)));
            assert!(Arc::ptr_eq(&found[0], &entries[0]));
            assert!(Arc::ptr_eq(&found[1], &entries[1]));
        }
        assert!(!Arc::ptr_eq(&entries[0], &entries[1]));
    }

    #[test]
    fn what_is_held_or_must_stay_is_not_forgotten() {
        let (keyed, now) = keyed(2);
        insert(&keyed, 1, now, None);
        let held = insert(&keyed, 2, now, Some(0));

        let shared = insert(&keyed, 3, now + 10 * IDLE, Some(0));
        keyed.sweep(now + 20 * IDLE);

        assert!(Arc::ptr_eq(&shared, keyed.overflow()));
        assert_eq!((keyed.len(), keyed.overflowed()), (2, 1));
        assert!(has(&keyed, 1) && has(&keyed, 2));

        drop(held);
        let own = insert(&keyed, 3, now, Some(0));
        assert!(!Arc::ptr_eq(&own, keyed.overflow()));
        assert!(has(&keyed, 3) && !has(&keyed, 2));
    }

    #[test]
    fn an_idle_entry_expires_unless_it_must_stay() {
        let (keyed, now) = keyed(100);
        insert(&keyed, 1, now, Some(0));
        insert(&keyed, 2, now, Some(1));
        insert(&keyed, 3, now, Some(0));

        keyed.sweep(now + IDLE - SECOND);
        assert_eq!(keyed.len(), 3);

        insert(&keyed, 4, now, None);
        insert(&keyed, 3, now, Some(0));
        keyed.sweep(now + IDLE);
        assert!(!has(&keyed, 1) && !has(&keyed, 2) && has(&keyed, 3));

        keyed.sweep(now + 2 * IDLE);
        assert!(!has(&keyed, 3) && has(&keyed, 4));
        assert_eq!((keyed.len(), keyed.evicted()), (1, 0));
    }

    #[test]
    fn a_sweep_looks_at_all_wherever_the_hand_has_come() {
        for inserted in 1..12_u64 {
            for kept in 0..inserted {
                let (keyed, now) = keyed(12);
                for key in 0..inserted {
                    insert(&keyed, key, now, Some(0));
                }
                insert(&keyed, kept, now, Some(0));

                keyed.sweep(now + SECOND);
                insert(&keyed, kept, now, Some(0));
                keyed.sweep(now + IDLE + SECOND);

                assert_eq!(keyed.keys(), [Key::of(kept)], "of {inserted}");
            }
        }
    }

    /// An entry that does something each time it is asked what it carries, and as it is dropped.
    struct Acts {
        asked: Box<dyn Fn() -> u64 + Send + Sync>,
        dropped: Box<dyn Fn() + Send + Sync>,
        used: Used,
    }

    impl Acts {
        fn new(
            asked: impl Fn() -> u64 + Send + Sync + 'static,
            dropped: impl Fn() + Send + Sync + 'static,
        ) -> Self {
            Self {
                asked: Box::new(asked),
                dropped: Box::new(dropped),
                used: Used::default(),
            }
        }
    }

    impl Entry for Acts {
        fn worth(&self, _: Instant) -> Option<u64> {
            Some((self.asked)())
        }

        fn used(&self) -> &Used {
            &self.used
        }
    }

    impl Drop for Acts {
        fn drop(&mut self) {
            (self.dropped)();
        }
    }

    fn panic_at(nth: usize, asked: &AtomicUsize) -> u64 {
        assert_ne!(asked.fetch_add(1, Ordering::Relaxed) + 1, nth);
        0
    }

    #[test]
    fn where_one_comes_to_carry_more_just_as_it_is_to_go_another_goes() {
        let now = Instant::now();
        let keyed = Keyed::new(2, IDLE, Arc::new(Acts::new(|| 0, || {})));
        let asked = AtomicUsize::new(0);
        let ask = move || 10 * asked.fetch_add(1, Ordering::Relaxed) as u64;
        keyed.get_or_insert(Key::of(1_u64), || now, || Acts::new(ask, || {}));
        keyed.get_or_insert(Key::of(2_u64), || now, || Acts::new(|| 5, || {}));

        keyed.get_or_insert(Key::of(3_u64), || now, || Acts::new(|| 0, || {}));

        assert!(keyed.get(Key::of(1_u64)).is_some());
        assert!(keyed.get(Key::of(2_u64)).is_none());
        assert_eq!((keyed.evicted(), keyed.overflowed()), (1, 0));
    }

    #[test]
    fn an_entry_that_panics_when_it_is_asked_loses_no_place() {
        // Each is asked twice as it expires.
        for nth in 1..9 {
            let now = Instant::now();
            let keyed = Keyed::new(8, IDLE, Arc::new(Acts::new(|| 0, || {})));
            let asked = Arc::new(AtomicUsize::new(0));
            for key in 0..4_u64 {
                let asked = Arc::clone(&asked);
                let ask = move || panic_at(nth, &asked);
                keyed.get_or_insert(Key::of(key), || now, || Acts::new(ask, || {}));
            }
            keyed.sweep(now + SECOND);
            asked.store(0, Ordering::Relaxed);

            let panicked = catch_unwind(AssertUnwindSafe(|| keyed.sweep(now + 2 * IDLE)));

            assert!(panicked.is_err());
            assert_eq!(keyed.len(), keyed.keys().len(), "at {nth}");
            assert_eq!(keyed.len(), 4 - (nth - 1) / 2, "at {nth}");
            keyed.sweep(now + 2 * IDLE);
            assert!(keyed.is_empty());
        }
    }

    #[test]
    fn an_entry_that_panics_as_it_gives_way_stays() {
        // It is asked once as a candidate, and once more as it goes.
        for nth in 1..3 {
            let now = Instant::now();
            let keyed = Keyed::new(1, IDLE, Arc::new(Acts::new(|| 0, || {})));
            let asked = AtomicUsize::new(0);
            let ask = move || panic_at(nth, &asked);
            keyed.get_or_insert(Key::of(1_u64), || now, || Acts::new(ask, || {}));
            let comes = || {
                keyed.get_or_insert(Key::of(2_u64), || now, || Acts::new(|| 0, || {}));
            };

            assert!(catch_unwind(AssertUnwindSafe(comes)).is_err());

            assert_eq!((keyed.len(), keyed.keys()), (1, vec![Key::of(1_u64)]));
            comes();
            assert_eq!((keyed.len(), keyed.keys()), (1, vec![Key::of(2_u64)]));
        }
    }

    #[test]
    fn an_entry_that_goes_may_use_the_map() {
        let (say, hear) = mpsc::channel();
        thread::spawn(move || {
            let now = Instant::now();
            let overflow = Arc::new(Acts::new(|| 0, || {}));
            let keyed = Arc::new(Keyed::new(1, IDLE, overflow));
            let use_map = {
                let keyed = Arc::downgrade(&keyed);
                move || {
                    let Some(keyed) = keyed.upgrade() else { return };
                    let make = || Acts::new(|| 0, || {});
                    keyed.get_or_insert(Key::of(9_u64), || now, make);
                    say.send(()).unwrap();
                }
            };
            let make = || Acts::new(|| 0, use_map);
            keyed.get_or_insert(Key::of(1_u64), || now, make);

            let make = || Acts::new(|| 0, || {});
            keyed.get_or_insert(Key::of(2_u64), || now, make);
        });

        let used = hear.recv_timeout(10 * SECOND);
        assert_eq!(used, Ok(()), "waits for a lock");
    }

    #[test]
    fn an_entry_expires_after_a_rest_of_centuries_too() {
        let years = 365 * 86_400 * SECOND;
        for rest in [IDLE, years, 500 * years, 1_000 * years] {
            let (keyed, now) = keyed(100);
            insert(&keyed, 1, now, Some(0));

            insert(&keyed, 2, now + rest, Some(0));
            keyed.sweep(now + rest);

            assert!(!has(&keyed, 1) && has(&keyed, 2), "{rest:?}");
        }
    }

    #[test]
    fn new_keys_let_idle_ones_expire() {
        let (keyed, mut now) = keyed(10_000);
        for key in 0..1_000 {
            insert(&keyed, key, now, Some(0));
        }

        now += IDLE;
        for key in 1_000..2_000 {
            insert(&keyed, key, now, Some(0));
        }

        assert!(keyed.len() < 1_100, "{}", keyed.len());
    }

    #[test]
    fn a_panic_of_the_maker_loses_no_place() {
        let (keyed, now) = keyed(1);
        for _ in 0..3 {
            let panicked = catch_unwind(AssertUnwindSafe(|| {
                keyed.get_or_insert(Key::of(1_u64), || now, || panic!("made badly"))
            }));
            assert!(panicked.is_err());
        }
        assert!(keyed.is_empty());

        insert(&keyed, 1, now, Some(0));
        assert!(has(&keyed, 1));
        assert!(
            catch_unwind(AssertUnwindSafe(|| {
                keyed.get_or_insert(Key::of(2_u64), || now, || panic!("made badly"))
            }))
            .is_err()
        );
        insert(&keyed, 3, now, Some(0));
        assert_eq!((keyed.len(), keyed.overflowed()), (1, 0));
    }

    #[test]
    fn a_visitor_may_use_the_map() {
        let (keyed, now) = keyed(40);
        for key in 0..40 {
            insert(&keyed, key, now, Some(0));
        }

        let mut seen = Vec::new();
        keyed.for_each(|key, entry| {
            assert!(Arc::ptr_eq(entry, &keyed.get(key).unwrap()));
            seen.push(key);
        });

        let mut keys = keyed.keys();
        keys.sort_unstable();
        seen.sort_unstable();
        assert_eq!(seen, keys);
        assert_eq!(seen.len(), 40);
    }

    /// Keys come and go from all sides, and the threads hold what they use for a moment.
    #[test]
    fn threads_share_one_entry_a_key_and_never_exceed_the_bound() {
        for max_keys in [1, 7, 200] {
            let (keyed, now) = keyed(max_keys);
            on_four_threads(2 * max_keys as u64, |key| {
                let entry = insert(&keyed, key, now, Some(0));
                if !Arc::ptr_eq(&entry, keyed.overflow()) {
                    // While it is held, no other can be made for the key.
                    assert!(Arc::ptr_eq(&entry, &keyed.get(Key::of(key)).unwrap()));
                }
                assert!(keyed.len() <= max_keys);
            });
            assert_eq!(keyed.keys().len(), keyed.len());
            assert!(keyed.len() <= max_keys);
        }
    }

    /// What one thread leaves in an entry, others do not find gone, though nobody holds it.
    #[test]
    fn threads_lose_nothing_that_must_stay() {
        struct Purse {
            coins: AtomicUsize,
            used: Used,
        }

        impl Entry for Purse {
            fn worth(&self, _: Instant) -> Option<u64> {
                (self.coins.load(Ordering::Relaxed) == 0).then_some(0)
            }

            fn used(&self) -> &Used {
                &self.used
            }
        }

        let empty = || Purse {
            coins: AtomicUsize::new(0),
            used: Used::default(),
        };
        for max_keys in [1, 7, 200] {
            let now = Instant::now();
            let keyed = Keyed::new(max_keys, IDLE, Arc::new(empty()));
            on_four_threads(2 * max_keys as u64, |key| {
                let purse = || keyed.get_or_insert(Key::of(key), || now, empty);
                let entry = purse();
                if !Arc::ptr_eq(&entry, keyed.overflow()) {
                    entry.coins.fetch_add(1, Ordering::Relaxed);
                    drop(entry);
                    assert_ne!(purse().coins.fetch_sub(1, Ordering::Relaxed), 0);
                }
            });
        }
    }

    /// Has four threads use so many keys, each some times in a row, so that it remembers them.
    fn on_four_threads(keys: u64, use_key: impl Fn(u64) + Sync) {
        thread::scope(|scope| {
            for thread in 1..=4_u64 {
                let use_key = &use_key;
                scope.spawn(move || {
                    for number in 0..20_000 {
                        use_key((number / 5 * thread) % keys);
                    }
                });
            }
        });
    }

    /// In a full map, with one place that may be had, who races for a key gets the entry of who wins.
    #[test]
    fn racing_callers_of_a_key_share_what_one_of_them_made() {
        for round in 0..200_u64 {
            let (keyed, now) = keyed(1);
            insert(&keyed, 1_000, now, Some(0));
            let barrier = Barrier::new(2);
            let entries: Vec<_> = thread::scope(|scope| {
                [(); 2]
                    .map(|()| {
                        scope.spawn(|| {
                            barrier.wait();
                            insert(&keyed, round, now, Some(0))
                        })
                    })
                    .into_iter()
                    .map(|thread| thread.join().unwrap())
                    .collect()
            });

            assert!(Arc::ptr_eq(&entries[0], &entries[1]));
            assert_eq!(keyed.overflowed(), 0);
        }
    }

    #[test]
    fn who_has_waited_for_his_turn_takes_what_was_made_meanwhile() {
        let now = Instant::now();
        let keyed = Keyed::new(32, IDLE, Arc::new(Acts::new(|| 0, || {})));
        let shards = &keyed.shards;
        let in_shard = |shard| {
            let keys = (0..).map(|n: u64| Key::of(n));
            keys.filter(move |key| shards.of(*key) == shard)
        };
        let [turn_taken, comes] = [(); 2].map(|()| Arc::new(Barrier::new(2)));
        let asked = Arc::new(AtomicUsize::new(0));
        for key in in_shard(1).take(32) {
            let (asked, turn_taken, comes) = (asked.clone(), turn_taken.clone(), comes.clone());
            let ask = move || {
                if asked.fetch_add(1, Ordering::Relaxed) == 0 {
                    turn_taken.wait();
                    comes.wait();
                }
                0
            };
            keyed.get_or_insert(key, || now, || Acts::new(ask, || {}));
        }
        let key = in_shard(0).next().unwrap();
        let make = || Acts::new(|| 0, || {});

        thread::scope(|scope| {
            scope.spawn(|| keyed.get_or_insert(key, || now + SECOND, make));
            turn_taken.wait();
            let reads_clock = || {
                comes.wait();
                now + SECOND
            };
            keyed.get_or_insert(key, reads_clock, make);
        });

        assert_eq!((keyed.evicted(), keyed.overflowed()), (1, 0));
        assert_eq!(keyed.keys().len(), 32);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Use { key: u64, times: u32, hold: bool },
        Release(u64),
        Worth { key: u64, worth: Option<u64> },
        Pass(u32),
        Sweep,
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let worth = prop_oneof![Just(None), (0..3_u64).prop_map(Some)];
        let step = prop_oneof![
            4 => (0..40_u64, 1..4_u32, any::<bool>())
                .prop_map(|(key, times, hold)| Step::Use { key, times, hold }),
            2 => (0..40_u64).prop_map(Step::Release),
            2 => (0..40_u64, worth).prop_map(|(key, worth)| Step::Worth { key, worth }),
            1 => (0..90_u32).prop_map(Step::Pass),
            1 => Just(Step::Sweep),
        ];
        vec(step, 1..200)
    }

    /// What an obvious map knows of an entry.
    struct Known {
        entry: Weak<Thing>,
        last_use: Instant,
        worth: Option<u64>,
    }

    proptest! {
        /// The model knows every use, and says after each step which entries may have gone.
        #[test]
        fn forgets_only_what_it_may(max_keys in 1..33_usize, steps in steps()) {
            let (keyed, mut now) = keyed(max_keys);
            let mut known: HashMap<u64, Known> = HashMap::new();
            let mut held: HashMap<u64, Arc<Thing>> = HashMap::new();

            for step in steps {
                let evicted = keyed.evicted();
                match step {
                    Step::Use { key, times, hold } => {
                        for _ in 1..times {
                            insert(&keyed, key, now, Some(1));
                        }
                        let entry = insert(&keyed, key, now, Some(1));
                        if Arc::ptr_eq(&entry, keyed.overflow()) {
                            // Nothing was to be had, in a map small enough to look at all of it.
                            prop_assert_eq!(known.len(), max_keys);
                            prop_assert!(!known.contains_key(&key));
                            for (key, it) in &known {
                                prop_assert!(it.worth.is_none() || held.contains_key(key));
                            }
                        } else {
                            let it = known.entry(key).or_insert_with(|| Known {
                                entry: Weak::new(),
                                last_use: now,
                                worth: Some(1),
                            });
                            // The same entry as before, if there was one.
                            if let Some(before) = it.entry.upgrade() {
                                prop_assert!(Arc::ptr_eq(&entry, &before));
                            } else {
                                it.worth = Some(1);
                                it.entry = Arc::downgrade(&entry);
                            }
                            it.last_use = now;
                            if hold {
                                held.insert(key, entry);
                            }
                        }
                    }
                    Step::Release(key) => drop(held.remove(&key)),
                    Step::Worth { key, worth } => {
                        if let Some(it) = known.get_mut(&key) {
                            it.worth = worth;
                            keyed.get(Key::of(key)).unwrap().set(worth);
                        }
                    }
                    Step::Pass(seconds) => now += seconds * SECOND,
                    Step::Sweep => keyed.sweep(now),
                }

                let gone: Vec<_> = known
                    .extract_if(|key, _| keyed.get(Key::of(*key)).is_none())
                    .collect();
                let expired = gone.iter().filter(|(_, it)| {
                    it.worth.is_some() && now.duration_since(it.last_use) >= IDLE
                });
                prop_assert!(gone.len() - expired.count() <= (keyed.evicted() - evicted) as usize);
                for (key, it) in &gone {
                    prop_assert!(it.worth.is_some() && !held.contains_key(key));
                }
                prop_assert!(keyed.len() <= max_keys);
                prop_assert_eq!(keyed.len(), known.len());
                prop_assert_eq!(keyed.keys().len(), known.len());
            }
        }
    }
}
