use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use watertight_core::{Key, Padded};

use crate::gcra::UNTOUCHED;
use crate::sync::AtomicU64;

/// Where the words of a machine are: one for each key and quota. Clones are the same words.
pub(crate) trait Words: Clone + Send + Sync {
    /// Returns the word of the `index`th quota of `key`, [`UNTOUCHED`] if there is none.
    fn word(&self, key: Option<Key>, index: usize) -> u64;

    /// Makes of that word what `change` says, unless that is `None`, and returns the new one.
    ///
    /// `change` is asked again when others were faster. A word that is not there is `fresh`. A word
    /// is worth as much as `worth` says: 0 if it can be forgotten for nothing.
    ///
    /// # Errors
    ///
    /// If nothing was changed: the word as it is, or that there is no room for it.
    fn update(
        &self,
        key: Option<Key>,
        index: usize,
        fresh: u64,
        worth: impl Fn(u64) -> u64,
        change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, Unchanged>;

    /// Forgets that word.
    fn forget(&self, key: Option<Key>, index: usize);
}

/// Why a word has not been changed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Unchanged {
    /// It stays this.
    Word(u64),
    /// There is no room for one more.
    NoRoom,
}

/// The words of all calls together, whatever their key.
#[derive(Clone, Debug)]
pub(crate) struct Direct(Arc<[Padded<AtomicU64>]>);

impl Direct {
    /// Makes the words of so many quotas.
    pub(crate) fn new(quotas: usize) -> Self {
        let untouched = || Padded(AtomicU64::new(UNTOUCHED));
        Self((0..quotas).map(|_| untouched()).collect())
    }
}

impl Words for Direct {
    fn word(&self, _: Option<Key>, index: usize) -> u64 {
        self.0[index].load(Relaxed)
    }

    // Nothing but the word itself is shared through it, so that no order is needed.
    #[inline(always)]
    fn update(
        &self,
        _: Option<Key>,
        index: usize,
        fresh: u64,
        _: impl Fn(u64) -> u64,
        mut change: impl FnMut(u64) -> Option<u64>,
    ) -> Result<u64, Unchanged> {
        let place = &self.0[index];
        let mut kept = place.load(Relaxed);
        loop {
            let word = if kept == UNTOUCHED { fresh } else { kept };
            let Some(changed) = change(word) else {
                return Err(Unchanged::Word(word));
            };
            match place.compare_exchange_weak(kept, changed, Relaxed, Relaxed) {
                Ok(_) => return Ok(changed),
                Err(other) => kept = other,
            }
        }
    }

    fn forget(&self, _: Option<Key>, index: usize) {
        self.0[index].store(UNTOUCHED, Relaxed);
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_fresh_until_it_is_written() {
        let words = Direct::new(2);
        let update = |fresh, change: &dyn Fn(u64) -> Option<u64>| {
            words.update(None, 1, fresh, |word| word, change)
        };

        assert_eq!(update(7, &|_| None), Err(Unchanged::Word(7)));
        assert_eq!(words.word(None, 1), UNTOUCHED);

        assert_eq!(update(7, &|word| Some(word + 1)), Ok(8));
        assert_eq!(update(7, &|_| None), Err(Unchanged::Word(8)));
        assert_eq!(words.clone().word(None, 1), 8, "clones are the same words");
        assert_eq!(words.word(None, 0), UNTOUCHED);
    }

    #[test]
    fn without_keys_all_are_one() {
        let words = Direct::new(1);

        let key = Some(Key::of("tenant-7"));
        assert_eq!(words.update(key, 0, 0, |word| word, |_| Some(3)), Ok(3));

        assert_eq!(words.word(None, 0), 3);
    }
}
