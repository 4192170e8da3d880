use std::fmt;
use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use watertight_core::{Call, Entry, Outcome, Padded};

use crate::State;
use crate::circuit::Circuit;
use crate::verdict::Permit;

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
            None => Self {
                way: None,
                permit: Permit::untimed(0),
            },
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

/// A call's way to its circuit: the stripe of the thread that made it, or where there are keys the
/// entry of its key.
pub(crate) type Held = Arc<Padded<Way>>;

/// Leads to a circuit. Who holds a way is a call.
#[derive(Debug)]
pub(crate) struct Way(pub(crate) Arc<Circuit>);

impl Deref for Way {
    type Target = Circuit;

    #[inline]
    fn deref(&self) -> &Circuit {
        &self.0
    }
}

impl Entry for Way {
    /// A circuit that refuses or probes must not be forgotten: its key would be let through. A
    /// closed one carries the failures that it has seen. One that a handle holds stays.
    fn worth(&self) -> Option<u64> {
        let state = self.word().state();
        let is_free = Arc::strong_count(&self.0) == 1;
        (is_free && matches!(state, State::Closed | State::ForcedClosed))
            .then(|| self.burden.load(Ordering::Relaxed).into())
    }
}
