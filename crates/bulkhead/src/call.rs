use std::fmt;

use tokio::time::Instant;
use watertight_core::{Call, Outcome};

use crate::counts::Count;
use crate::slots::Permit;
use crate::way::{Held, WayToAll};

/// A call that has passed a bulkhead. It holds its slot until it ends or is dropped.
pub struct BulkheadCall {
    /// `None` for a call that the bulkhead does not look at.
    permit: Option<Permit<Held>>,
    /// One of the slots of all keys together, where those are bounded.
    _of_all: Option<Permit<WayToAll>>,
    /// When the service was called, where the limit learns from that.
    began: Option<Instant>,
    ended: bool,
}

impl BulkheadCall {
    #[inline]
    pub(crate) const fn new(permit: Permit<Held>, of_all: Option<Permit<WayToAll>>) -> Self {
        Self {
            permit: Some(permit),
            _of_all: of_all,
            began: None,
            ended: false,
        }
    }

    pub(crate) const fn unwatched() -> Self {
        Self {
            permit: None,
            _of_all: None,
            began: None,
            ended: true,
        }
    }

    /// Takes the time from now.
    pub(crate) fn begin(&mut self) {
        if self.permit.is_some() {
            self.began = Some(Instant::now());
        }
    }

    fn count(&mut self, count: Count) {
        self.ended = true;
        if let Some(permit) = &self.permit {
            permit.entrance().compartment.counts.add(count);
        }
    }
}

impl Call for BulkheadCall {
    fn head(&mut self, _: &Outcome) {}

    #[inline]
    fn end(mut self, outcome: Outcome) {
        if let (Some(permit), Some(began)) = (&self.permit, self.began) {
            permit.entrance().compartment.learn(began, &outcome);
        }
        self.count(Count::of(&outcome));
    }
}

impl Drop for BulkheadCall {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.count(Count::Cancelled);
        }
    }
}

impl fmt::Debug for BulkheadCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadCall").finish_non_exhaustive()
    }
}
