use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The places of a map: each entry has one, and there are no more.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    taken: AtomicUsize,
}

/// A place in the map that no entry has yet. Dropping it gives it back.
pub(super) struct Place<'a>(&'a Places);

impl Places {
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            taken: AtomicUsize::new(0),
        }
    }

    pub(super) const fn most(&self) -> usize {
        self.most
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Takes a place that is free, if there is one.
    pub(super) fn take(&self) -> Option<Place<'_>> {
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.most).then_some(taken + 1)
            })
            .ok()
            .map(|_| Place(self))
    }

    /// Returns the place of an entry that has just gone.
    pub(super) const fn left(&self) -> Place<'_> {
        Place(self)
    }
}

impl Place<'_> {
    /// Leaves the place to an entry.
    pub(super) fn settle(self) {
        mem::forget(self);
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
