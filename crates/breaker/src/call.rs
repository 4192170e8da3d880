use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Call, Outcome, Padded};

use crate::circuit::Circuit;
use crate::verdict::Permit;

/// A call that has passed a breaker. It reports how it ends, and gives back what it holds.
pub struct BreakerCall {
    /// `None` for a call that the breaker does not look at, and once it has ended.
    watched: Option<(Held, Permit)>,
}

impl BreakerCall {
    pub(crate) fn new(held: Held, permit: Permit) -> Self {
        Self {
            watched: Some((held, permit)),
        }
    }

    pub(crate) const fn unwatched() -> Self {
        Self { watched: None }
    }
}

impl Call for BreakerCall {
    fn head(&mut self, head: &Outcome) {
        if let Some((circuit, permit)) = &mut self.watched {
            circuit.head(permit, head, Instant::now);
        }
    }

    fn end(mut self, outcome: Outcome) {
        if let Some((circuit, permit)) = self.watched.take() {
            circuit.end(&permit, &outcome, Instant::now);
        }
    }
}

impl Drop for BreakerCall {
    fn drop(&mut self) {
        if let Some((circuit, permit)) = self.watched.take() {
            circuit.cancel(&permit, Instant::now);
        }
    }
}

impl fmt::Debug for BreakerCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerCall").finish_non_exhaustive()
    }
}

/// A call's way to its circuit.
pub(crate) enum Held {
    /// By the stripe of the thread that made the call: the one circuit is everybody's.
    Stripe(Arc<Padded<Arc<Circuit>>>),
    /// By the circuit of the call's key.
    Key(Arc<Circuit>),
}

impl Deref for Held {
    type Target = Circuit;

    fn deref(&self) -> &Circuit {
        match self {
            Self::Stripe(stripe) => stripe,
            Self::Key(circuit) => circuit,
        }
    }
}
