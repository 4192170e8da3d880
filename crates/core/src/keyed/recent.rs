use std::any::Any;
use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use crate::Key;

/// How many entries a thread remembers, of all maps together. So few that the cells stay in its
/// processor's nearest cache: who looks in vain should lose little.
const CELLS: usize = 64;

thread_local! {
    static CELLS_OF_THREAD: [Cell; CELLS] = const { [const { Cell::new() }; CELLS] };
}

/// A place for one of the entries that the calling thread has found of late, in a cache line.
///
/// Each key of a map has one cell, and shares it with others. It is chosen by bits of the key as it
/// is: a client that makes keys meet in one has them found in the map, as they are without cells.
#[repr(align(64))]
struct Cell(RefCell<Memory>);

struct Memory {
    found: Option<Found>,
    /// What was last looked for here in vain, unless something has been found since. 0: nothing.
    missed: u64,
}

struct Found {
    map: u64,
    key: Key,
    /// It does not keep the entry alive, only the memory that it was in.
    entry: Weak<dyn Any + Send + Sync>,
}

/// A map, as the cells of threads know it.
#[derive(Debug)]
pub(super) struct Recent {
    /// No two maps of a process ever have the same.
    map: u64,
}

/// What a look at a cell tells.
pub(super) enum Look<T> {
    Hit(Arc<T>),
    /// Whether the same was looked for in vain just before, and so is worth the cell.
    Miss {
        again: bool,
    },
}

impl Recent {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);

        Self {
            map: NEXT.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Looks for the key's entry among those that the calling thread remembers.
    #[inline]
    pub(super) fn look<T: Any + Send + Sync>(&self, key: Key) -> Look<T> {
        let look = self.at(key, |cell| {
            if let Some(entry) = cell.entry(self.map, key)
                && let Ok(entry) = entry.downcast()
            {
                cell.missed = 0;
                return Look::Hit(entry);
            }
            let missed = self.mix(key);
            let again = cell.missed == missed;
            cell.missed = missed;
            Look::Miss { again }
        });
        look.unwrap_or(Look::Miss { again: false })
    }

    /// Remembers the key's entry.
    #[cold]
    pub(super) fn keep<T: Any + Send + Sync>(&self, key: Key, entry: &Arc<T>) {
        let entry = Arc::downgrade(entry);
        self.at(key, |cell| {
            cell.found = Some(Found {
                map: self.map,
                key,
                entry,
            });
        });
    }

    /// Returns what `f` makes of the key's cell, unless the thread is about to end.
    #[inline]
    fn at<R>(&self, key: Key, f: impl FnOnce(&mut Memory) -> R) -> Option<R> {
        let cell = (key.as_u128() as u64).wrapping_add(self.map) as usize % CELLS;
        CELLS_OF_THREAD
            .try_with(|cells| Some(f(&mut *cells[cell].0.try_borrow_mut().ok()?)))
            .ok()?
    }

    /// Returns a word that other keys and maps share by chance alone, which costs them nothing but
    /// time.
    #[inline]
    fn mix(&self, key: Key) -> u64 {
        key.as_u128() as u64 ^ self.map.rotate_right(16)
    }
}

impl Cell {
    const fn new() -> Self {
        Self(RefCell::new(Memory {
            found: None,
            missed: 0,
        }))
    }
}

impl Memory {
    #[inline]
    fn entry(&self, map: u64, key: Key) -> Option<Arc<dyn Any + Send + Sync>> {
        let found = self.found.as_ref()?;
        if found.map != map || found.key != key {
            return None;
        }
        found.entry.upgrade()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Sender, channel};
    use std::thread;

    use super::*;

    const KEY: u64 = 1;

    fn finds(map: &Recent, key: Key) -> Option<u64> {
        match map.look::<u64>(key) {
            Look::Hit(entry) => Some(*entry),
            Look::Miss { .. } => None,
        }
    }

    fn misses_again(map: &Recent, key: Key) -> bool {
        matches!(map.look::<u64>(key), Look::Miss { again: true })
    }

    /// Returns two keys that share a cell.
    fn neighbours() -> [Key; 2] {
        let one = Key::of(KEY);
        let cell = |key: Key| key.as_u128() % CELLS as u128;
        let other = (KEY + 1..).map(Key::of);
        [one, { other }.find(|key| cell(*key) == cell(one)).unwrap()]
    }

    #[test]
    fn is_worth_a_cell_once_missed_twice_in_a_row() {
        let (map, [key, other]) = (Recent::new(), neighbours());

        assert!(!misses_again(&map, key));
        assert!(!misses_again(&map, other));
        assert!(!misses_again(&map, key));
        assert!(misses_again(&map, key));
    }

    #[test]
    fn what_is_found_is_not_ousted_by_what_comes_as_often() {
        let (map, [key, other]) = (Recent::new(), neighbours());
        let entry = Arc::new(7_u64);
        map.keep(key, &entry);

        for _ in 0..5 {
            assert_eq!(finds(&map, key), Some(7));
            assert!(!misses_again(&map, other));
        }
        assert!(misses_again(&map, other));
    }

    #[test]
    fn one_takes_the_place_of_another() {
        let (map, [key, other]) = (Recent::new(), neighbours());
        let entries = [7_u64, 8].map(Arc::new);

        map.keep(key, &entries[0]);
        map.keep(other, &entries[1]);

        assert_eq!([key, other].map(|key| finds(&map, key)), [None, Some(8)]);
        assert_eq!(Arc::weak_count(&entries[0]), 0);
    }

    #[test]
    fn maps_are_told_apart_in_every_cell() {
        let maps: Vec<_> = (0..=CELLS as u64).map(|_| Recent::new()).collect();
        let (key, entry) = (Key::of(KEY), Arc::new(7_u64));

        maps[0].keep(key, &entry);

        assert!(maps[1..].iter().all(|map| finds(map, key).is_none()));
        assert_eq!(finds(&maps[0], key), Some(7));
    }

    #[test]
    fn what_nobody_holds_is_gone() {
        let (map, key) = (Recent::new(), Key::of(KEY));
        let entry = Arc::new(7_u64);
        map.keep(key, &entry);

        drop(entry);

        assert_eq!(finds(&map, key), None);
        assert!(misses_again(&map, key));
    }

    #[test]
    fn each_thread_has_its_own() {
        let (map, key) = (Recent::new(), Key::of(KEY));
        let entry = Arc::new(7_u64);
        map.keep(key, &entry);

        let other = thread::scope(|scope| scope.spawn(|| finds(&map, key)).join());

        assert_eq!(other.unwrap(), None);
    }

    #[test]
    fn a_thread_that_ends_forgets_and_can_still_look() {
        struct Last(Recent, Arc<u64>, Sender<bool>);

        impl Drop for Last {
            fn drop(&mut self) {
                self.0.keep(Key::of(KEY), &self.1);
                let found = finds(&self.0, Key::of(KEY)).is_some();
                self.2.send(found).unwrap();
            }
        }

        thread_local! {
            static LAST: RefCell<Option<Last>> = const { RefCell::new(None) };
        }

        let (say, hear) = channel();
        let entry = Arc::new(7_u64);
        let of_thread = Arc::clone(&entry);
        let thread = thread::spawn(move || {
            // What is first used is last to go.
            LAST.with_borrow_mut(|last| {
                let last = last.insert(Last(Recent::new(), of_thread, say));
                last.0.keep(Key::of(KEY), &last.1);
                assert_eq!(finds(&last.0, Key::of(KEY)), Some(7));
            });
        });
        thread.join().unwrap();

        assert!(!hear.recv().unwrap(), "it was not the last");
        assert_eq!((Arc::strong_count(&entry), Arc::weak_count(&entry)), (1, 0));
    }
}
