use std::sync::atomic::Ordering::Relaxed;

use crate::sync::AtomicI64;

/// The slots of a room that are free.
#[derive(Debug)]
pub(super) struct Counter {
    free: AtomicI64,
}

impl Counter {
    pub(super) fn new(free: i64) -> Self {
        Self {
            free: AtomicI64::new(free),
        }
    }

    /// Takes a slot, if more than `floor` are free.
    pub(super) fn take(&self, floor: i64) -> bool {
        let free = self.free();
        let taken = free > floor;
        if taken {
            self.free.store(free - 1, Relaxed);
        }
        taken
    }

    /// Adds slots, or takes away those that there will be, too.
    pub(super) fn add(&self, slots: i64) {
        self.free.store(self.free() + slots, Relaxed);
    }

    /// Returns how many are free: less than none if more are taken than there are.
    pub(super) fn free(&self) -> i64 {
        self.free.load(Relaxed)
    }
}
