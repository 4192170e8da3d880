use std::cell::Cell;
use std::ptr;

use crate::DynError;

thread_local! {
    /// Where the error is that a retry layer gave up on in the poll that runs now.
    static GIVEN_UP: Cell<*const ()> = const { Cell::new(ptr::null()) };
}

/// A retry layer gave up on the call: layers above are not to retry it.
///
/// Three layers of three attempts each would make 27 calls at the bottom, and that just when the
/// service there is in trouble. On a response it is noted by a [`Note`](crate::Note). An error
/// passes untouched, so that it is marked beside the error: for whoever polls, until the poll of
/// another retry layer begins. A layer that makes another error of it loses the mark, and so does
/// a `Buffer` or a task between the two.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RetriesExhausted {
    /// How many attempts were made.
    pub attempts: u32,
}

impl RetriesExhausted {
    /// Runs `poll`, in which errors may be marked. All marks from before are forgotten: their errors
    /// may be gone, and others be in their place.
    #[inline]
    pub fn watch<R>(poll: impl FnOnce() -> R) -> R {
        set(ptr::null());
        poll()
    }

    /// Marks an `error` that is about to be returned.
    pub fn mark(error: &DynError) {
        set(address(error));
    }

    /// Whether `error`, which was just returned, is [marked](Self::mark).
    #[must_use]
    pub fn is_marked(error: &DynError) -> bool {
        GIVEN_UP.try_with(Cell::get) == Ok(address(error))
    }
}

#[inline]
fn set(error: *const ()) {
    // In a thread that is ending there is nobody to tell.
    let _ = GIVEN_UP.try_with(|given_up| given_up.set(error));
}

fn address(error: &DynError) -> *const () {
    ptr::from_ref(error).cast()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::BoxError;

    fn given_up() -> BoxError {
        let error = BoxError::from("broken");
        RetriesExhausted::mark(&*error);
        error
    }

    #[test]
    fn a_marked_error_is_known_by_whoever_is_above() {
        let error = RetriesExhausted::watch(|| RetriesExhausted::watch(given_up));

        assert!(RetriesExhausted::is_marked(&*error));
        assert!(!RetriesExhausted::is_marked(&*BoxError::from("broken")));
    }

    #[test]
    fn a_mark_does_not_outlive_the_poll() {
        drop(given_up());

        // It may well be where the other was.
        let error = RetriesExhausted::watch(|| BoxError::from("broken"));

        assert!(!RetriesExhausted::is_marked(&*error));
    }
}
