use std::ops::{Deref, DerefMut};

use crate::sync::MutexGuard;

use super::counter::Counter;
use super::hall::Hall;
use super::woken::Woken;

/// The lock of a room. At its end the slots are left to those who come if nobody waits, and once it
/// is free those are woken who are to be.
pub(super) struct Locked<'a> {
    /// `None` only while it is dropped.
    hall: Option<MutexGuard<'a, Hall>>,
    counter: &'a Counter,
    pub(super) woken: Woken,
}

impl<'a> Locked<'a> {
    pub(super) fn new(hall: MutexGuard<'a, Hall>, counter: &'a Counter) -> Self {
        Self {
            hall: Some(hall),
            counter,
            woken: Woken::default(),
        }
    }

    /// Returns the hall, and those who are to be woken.
    pub(super) fn parts(&mut self) -> (&mut Hall, &mut Woken) {
        (self.hall.as_mut().expect(HELD), &mut self.woken)
    }
}

const HELD: &str = "a lock is held until it is dropped";

impl Deref for Locked<'_> {
    type Target = Hall;

    fn deref(&self) -> &Hall {
        self.hall.as_ref().expect(HELD)
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut Hall {
        self.hall.as_mut().expect(HELD)
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.waiters.is_empty() {
            self.counter.unhold();
        }
        // The woken are dropped after this.
        self.hall = None;
    }
}
