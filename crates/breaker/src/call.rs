use std::fmt;
use std::mem;

use tokio::time::Instant;
use watertight_core::{Call, Outcome};

use crate::permit::Permit;
use crate::way::Held;

/// A call that has passed a breaker. It reports how it ends, and gives back what it holds.
pub struct BreakerCall {
    /// `None` for a call that the breaker does not look at, and once it has ended.
    way: Option<Held>,
    permit: Permit,
}

impl BreakerCall {
    /// Starts the call of `permit`, or without one a call that nobody looks at.
    #[inline]
    pub(crate) fn new(permit: Option<Permit>, hold: impl FnOnce() -> Held) -> Self {
        match permit {
            Some(permit) => Self {
                way: Some(hold()),
                permit,
            },
            None => Self::unwatched(),
        }
    }

    pub(crate) const fn unwatched() -> Self {
        Self {
            way: None,
            permit: Permit::untimed(0),
        }
    }
}

impl Call for BreakerCall {
    fn head(&mut self, head: &Outcome) {
        if let Some(way) = &self.way {
            way.head(&mut self.permit, head, Instant::now);
        }
    }

    #[inline]
    fn end(mut self, outcome: Outcome) {
        let (way, permit) = (self.way.take(), self.permit);
        // It holds nothing any more, and would be looked at again for that.
        mem::forget(self);
        if let Some(way) = way {
            way.end(&permit, &outcome, Instant::now);
        }
    }
}

impl Drop for BreakerCall {
    #[inline]
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            cancel(&way, &self.permit);
        }
    }
}

#[cold]
fn cancel(way: &Held, permit: &Permit) {
    way.cancel(permit, Instant::now);
}

impl fmt::Debug for BreakerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerCall").finish_non_exhaustive()
    }
}
