use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

/// Those who are to be woken or forgotten, which happens when this is dropped. That runs code of
/// others, which may come back: nothing may be locked then. Usually it is one, and nothing is
/// allocated.
#[derive(Debug, Default)]
pub(crate) struct Woken {
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
}

impl Drop for Woken {
    /// A waker that panics ends there: neither those behind it have earned it nor the one who gives
    /// his slot back, who may have another to give.
    fn drop(&mut self) {
        let rest = mem::take(&mut self.rest);
        for waker in self.first.take().into_iter().chain(rest) {
            let _ = catch_unwind(AssertUnwindSafe(|| waker.wake()));
        }
    }
}
