use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use watertight_core::{Entry, Padded, Used, is_held_once};

use crate::State;
use crate::circuit::Circuit;

/// A call's way to its circuit: the stripe of the thread that made it, or where there are keys the
/// entry of its key.
pub(crate) type Held = Arc<Padded<Way>>;

/// Leads to a circuit. Who holds a way is a call.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) circuit: Arc<Circuit>,
    used: Used,
}

impl Way {
    pub(crate) fn new(circuit: Arc<Circuit>) -> Self {
        Self {
            circuit,
            used: Used::default(),
        }
    }
}

impl Deref for Way {
    type Target = Circuit;

    #[inline]
    fn deref(&self) -> &Circuit {
        &self.circuit
    }
}

impl Entry for Way {
    /// A circuit that refuses or probes must not be forgotten: its key would be let through. Once
    /// nobody has called for long after it was to try again, it may go like a closed one, which
    /// carries the failures that it has seen. One that somebody has forced, or holds a handle of,
    /// stays.
    fn worth(&self, now: Instant) -> Option<u64> {
        // Not the other way round: whoever lets go of a handle may just have opened it by that.
        let may_go = is_held_once(&self.circuit)
            && (self.word().state() == State::Closed || self.is_overdue(now));
        may_go.then(|| self.burden.load(Ordering::Relaxed).into())
    }

    #[inline]
    fn used(&self) -> &Used {
        &self.used
    }
}
