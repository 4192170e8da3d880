use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::sync::{AtomicI64, AtomicU64};

/// A sum in a bucket that knows whose it is: the bucket's position, and the sum.
#[derive(Debug)]
pub(crate) struct Sum(AtomicU64);

const SUM_BITS: u32 = 32;
const MOST: u64 = (1 << SUM_BITS) - 1;

impl Sum {
    pub(crate) fn empty(position: u64) -> Self {
        Self(AtomicU64::new(position << SUM_BITS))
    }

    /// Adds `count` to the sum and to `total`. Returns false if it is another bucket's now.
    pub(crate) fn add(&self, position: u64, count: u64, total: &AtomicI64) -> bool {
        if count == 0 {
            return true;
        }
        let added = |word| {
            (at(word) == position)
                .then(|| word & !MOST | (word & MOST).saturating_add(count).min(MOST))
        };
        match self.0.fetch_update(AcqRel, Acquire, added) {
            Ok(old) => {
                total.fetch_add(count.min(MOST - (old & MOST)) as i64, AcqRel);
                true
            }
            Err(_) => false,
        }
    }

    /// Makes the sum of bucket `old` an empty one of bucket `next`, unless that is done.
    pub(crate) fn replace(&self, old: u64, next: u64, total: &AtomicI64) {
        let replaced = |word| (at(word) == old).then_some(next << SUM_BITS);
        if let Ok(old) = self.0.fetch_update(AcqRel, Acquire, replaced)
            && old & MOST > 0
        {
            total.fetch_sub((old & MOST) as i64, AcqRel);
        }
    }
}

fn at(word: u64) -> u64 {
    word >> SUM_BITS
}
