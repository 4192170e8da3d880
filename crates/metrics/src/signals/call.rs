use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Call, Outcome, Padded};

use super::shared::Measured;

/// A call that is measured until it ends.
pub struct SignalsCall {
    /// `None` once it has ended.
    measured: Option<Arc<Padded<Arc<Measured>>>>,
    started: Instant,
}

impl SignalsCall {
    pub(super) fn new(stripe: &Arc<Padded<Arc<Measured>>>) -> Self {
        Self {
            measured: Some(Arc::clone(stripe)),
            started: Instant::now(),
        }
    }
}

impl Call for SignalsCall {
    fn head(&mut self, _: &Outcome) {}

    fn end(mut self, outcome: Outcome) {
        if let Some(measured) = self.measured.take() {
            let now = Instant::now();
            let took = now.saturating_duration_since(self.started);
            measured.ended(&outcome, took, now);
        }
    }
}

impl Drop for SignalsCall {
    fn drop(&mut self) {
        if let Some(measured) = self.measured.take() {
            measured.cancelled();
        }
    }
}

impl fmt::Debug for SignalsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalsCall").finish_non_exhaustive()
    }
}
