use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Those who are to be woken or forgotten, once nothing is locked: that runs code of others, which
/// may come back. Usually it is one, and nothing is allocated.
#[derive(Debug, Default)]
pub(super) struct Woken {
    first: Option<Waker>,
    rest: Vec<Waker>,
    forgotten: Option<Waker>,
}

impl Woken {
    pub(super) fn add(&mut self, waker: Option<Waker>) {
        let Some(waker) = waker else { return };
        if self.first.is_none() {
            self.first = Some(waker);
        } else {
            self.rest.push(waker);
        }
    }

    /// Keeps the waker of the one who has done what was locked, to be dropped later.
    pub(super) fn forget(&mut self, waker: Option<Waker>) {
        self.forgotten = waker;
    }

    /// Wakes all of them. A waker that panics ends there: neither those behind it have earned it nor
    /// the one who gives his slot back, who may have another to give.
    pub(super) fn wake(self) {
        for waker in self.first.into_iter().chain(self.rest) {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
