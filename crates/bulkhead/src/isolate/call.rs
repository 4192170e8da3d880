use std::fmt;
use std::sync::Arc;

use watertight_core::{Call, Outcome};

use crate::counts::{Count, Counts};

/// A call that runs apart, as it is counted. What it holds is with the call itself.
pub struct IsolateCall {
    /// `None` once it is counted, or for a call that is not.
    counts: Option<Arc<Counts>>,
}

impl IsolateCall {
    pub(super) const fn new(counts: Arc<Counts>) -> Self {
        Self {
            counts: Some(counts),
        }
    }

    pub(super) const fn unwatched() -> Self {
        Self { counts: None }
    }

    fn count(&mut self, count: Count) {
        if let Some(counts) = self.counts.take() {
            counts.add(count);
        }
    }
}

impl Call for IsolateCall {
    fn head(&mut self, _: &Outcome) {}

    fn end(mut self, outcome: Outcome) {
        self.count(Count::of(&outcome));
    }
}

impl Drop for IsolateCall {
    fn drop(&mut self) {
        self.count(Count::Cancelled);
    }
}

impl fmt::Debug for IsolateCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolateCall").finish_non_exhaustive()
    }
}
