use watertight_core::Key;

use crate::gcra::{Gcra, UNTOUCHED};
use crate::words::Words;

/// The quotas that others took the place of, and their words, in which keys are still found that
/// nobody has asked for since.
#[derive(Clone, Debug)]
pub(crate) struct Past<W> {
    gcras: Box<[Gcra]>,
    words: W,
    /// In nanoseconds since the epoch.
    changed_at: u64,
}

impl<W: Words> Past<W> {
    /// How many changes are remembered. A key that is not asked for in as many starts anew.
    pub(crate) const MOST: usize = 8;

    pub(crate) fn new(gcras: Box<[Gcra]>, words: W, changed_at: u64) -> Self {
        Self {
            gcras,
            words,
            changed_at,
        }
    }

    /// Returns what `key` is with as the `index`th quota `gcra`, by what was `before`, the latest
    /// first.
    #[cold]
    pub(crate) fn inherited(before: &[Self], key: Option<Key>, index: usize, gcra: &Gcra) -> u64 {
        let Some((past, before)) = before.split_first() else {
            return UNTOUCHED;
        };
        let Some((index, old)) = past.predecessor(index, gcra) else {
            return UNTOUCHED;
        };
        let word = match past.words.word(key, index) {
            UNTOUCHED => Self::inherited(before, key, index, old),
            word => word,
        };
        gcra.carry(word, old, past.changed_at)
    }

    /// Forgets what is known of `key`.
    pub(crate) fn forget(&self, key: Option<Key>) {
        (0..self.gcras.len()).for_each(|index| self.words.forget(key, index));
    }

    /// Finds the quota that `gcra` took the place of: the one of the same period, or else the one
    /// in the same place.
    fn predecessor(&self, index: usize, gcra: &Gcra) -> Option<(usize, &Gcra)> {
        let mut all = self.gcras.iter().enumerate();
        all.find(|(_, old)| old.period() == gcra.period())
            .or_else(|| self.gcras.get(index).map(|old| (index, old)))
    }
}
