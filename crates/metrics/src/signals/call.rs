use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Call, Outcome, Padded};

use super::shared::Shared;

/// A call that is measured until it ends.
pub struct SignalsCall {
    /// `None` once it has ended.
    shared: Option<Arc<Padded<Arc<Shared>>>>,
    started: Instant,
}

impl SignalsCall {
    pub(super) fn new(stripe: &Arc<Padded<Arc<Shared>>>) -> Self {
        stripe.started();
        Self {
            shared: Some(Arc::clone(stripe)),
            started: Instant::now(),
        }
    }
}

impl Call for SignalsCall {
    fn head(&mut self, _: &Outcome) {}

    fn end(mut self, outcome: Outcome) {
        if let Some(shared) = self.shared.take() {
            let now = Instant::now();
            let took = now.saturating_duration_since(self.started);
            shared.ended(&outcome, took, now);
        }
    }
}

impl Drop for SignalsCall {
    fn drop(&mut self) {
        if let Some(shared) = self.shared.take() {
            shared.cancelled();
        }
    }
}

impl fmt::Debug for SignalsCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalsCall").finish_non_exhaustive()
    }
}
