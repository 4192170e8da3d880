use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use watertight_core::Priority;

use crate::queue::Class;

use super::Shares;

/// How many slots a call of each priority leaves free, for those to read who have no lock.
#[derive(Debug)]
pub(super) struct Floors([AtomicI64; Class::PRIORITIES]);

impl Floors {
    pub(super) fn new(shares: &Shares) -> Self {
        let floors = Self(Default::default());
        floors.set(shares);
        floors
    }

    pub(super) fn set(&self, shares: &Shares) {
        for (floor, slots) in self.0.iter().zip(shares.floors()) {
            floor.store(*slots, Relaxed);
        }
    }

    #[inline]
    pub(super) fn get(&self, priority: Priority) -> i64 {
        self.0[priority as usize].load(Relaxed)
    }
}
