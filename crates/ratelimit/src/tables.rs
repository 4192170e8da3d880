use std::convert::Infallible;
use std::sync::{Arc, OnceLock};

use watertight_core::Key;

use crate::gcra::UNTOUCHED;
use crate::table::Table;
use crate::window::Room;
use crate::words::{Direct, Unchanged, Words};

/// The words of each key, in a table for each quota, and those of the calls without a key. Clones
/// are the same words.
#[derive(Clone, Debug)]
pub(crate) struct Tables {
    alone: Direct,
    /// Made with the first key, if not before.
    tables: Arc<[OnceLock<Table>]>,
    room: Room,
}

impl Tables {
    /// Makes the words of so many quotas.
    pub(crate) fn new(quotas: usize, room: Room) -> Self {
        Self {
            alone: Direct::new(quotas),
            tables: (0..quotas).map(|_| OnceLock::new()).collect(),
            room,
        }
    }

    /// Makes the tables, so that no call has to.
    pub(crate) fn make(&self) {
        for index in 0..self.tables.len() {
            self.table(index);
        }
    }

    fn table(&self, index: usize) -> &Table {
        self.tables[index].get_or_init(|| Table::new(self.room.max_keys))
    }

    /// Returns how many keys the table of the `index`th quota holds, by what their words are
    /// `worth`. `None` if there are no keys.
    pub(crate) fn len(&self, index: usize, worth: impl Fn(u64) -> u64) -> Option<usize> {
        Some(self.tables.get(index)?.get()?.len(worth))
    }

    /// Returns how many keys have been forgotten that something was lost with. `None` if there are
    /// no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        let tables = self.tables.iter().filter_map(OnceLock::get);
        tables.map(Table::evicted).reduce(|sum, more| sum + more)
    }
}

impl Words for Tables {
    fn word(&self, key: Option<Key>, index: usize) -> u64 {
        let Some(key) = key else {
            return self.alone.word(None, index);
        };
        self.tables[index].get().map_or(0, |table| table.get(key))
    }

    #[inline(always)]
    fn update(
        &self,
        key: Option<Key>,
        index: usize,
        fresh: u64,
        worth: impl Fn(u64) -> u64,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, Unchanged> {
        match key {
            Some(key) => self.update_key(key, index, fresh, worth, change),
            None => self.alone.update(None, index, fresh, worth, change),
        }
    }

    fn forget(&self, key: Option<Key>, index: usize) {
        let Some(key) = key else {
            return self.alone.forget(None, index);
        };
        if let Some(table) = self.tables[index].get() {
            let gone = |_| Ok::<_, Infallible>(UNTOUCHED);
            let _ = table.update(key, self.room.when_full, |word| word, gone);
        }
    }
}

impl Tables {
    #[inline]
    fn update_key(
        &self,
        key: Key,
        index: usize,
        fresh: u64,
        worth: impl Fn(u64) -> u64,
        mut change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, Unchanged> {
        let table = self.table(index);
        let when_full = self.room.when_full;
        if fresh != UNTOUCHED {
            // A word that is worth nothing gets no slot, and what it was fresh of would be found
            // again. So that moves in first.
            let _ = table.update(key, when_full, &worth, |kept| match kept {
                UNTOUCHED => Ok(fresh),
                word => Err(word),
            });
        }
        let updated = table.update(key, when_full, worth, |kept| {
            let word = if kept == UNTOUCHED { fresh } else { kept };
            change(word).ok_or(word)
        });
        match updated {
            Ok(Ok(word)) => Ok(word),
            Ok(Err(word)) => Err(Unchanged::Word(word)),
            Err(_) => Err(Unchanged::NoRoom),
        }
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;
    use crate::WhenFull;

    #[test]
    fn a_word_that_is_worth_nothing_is_kept_if_it_was_fresh_of_another() {
        let room = Room {
            max_keys: 16,
            when_full: WhenFull::Refuse,
        };
        let (key, worth) = (Some(Key::of("acme")), |word: u64| word / 10);

        for (fresh, kept) in [(UNTOUCHED, UNTOUCHED), (70, 7)] {
            let tables = Tables::new(1, room);
            assert_eq!(tables.update(key, 0, fresh, worth, |_| Some(7)), Ok(7));
            assert_eq!(tables.word(key, 0), kept);
        }
    }
}
