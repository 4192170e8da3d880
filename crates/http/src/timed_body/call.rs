use std::fmt;
use std::sync::Arc;

use watertight_core::{Call, Mode, Outcome, Padded};

use super::counts::{Count, Counts};

/// What a call holds: the stripe of the thread that made it, which leads to the counts.
pub(super) type Way = Arc<Padded<Arc<Counts>>>;

/// A call whose body may be too slow. It reports how that ends.
pub(super) struct BodyCall {
    /// `None` once it has ended.
    way: Option<Way>,
    mode: Mode,
}

impl BodyCall {
    pub(super) const fn new(way: Way, mode: Mode) -> Self {
        Self {
            way: Some(way),
            mode,
        }
    }

    /// Takes note that the body is too slow. Returns whether that is its end.
    #[cold]
    pub(super) fn is_too_slow(&mut self) -> bool {
        if let Some(counts) = &self.way {
            counts.timed_out(self.mode);
        }
        let is_cut_off = self.mode == Mode::Enforce;
        if is_cut_off {
            self.way = None;
        }
        is_cut_off
    }
}

impl Call for BodyCall {
    fn head(&mut self, _: &Outcome) {}

    fn end(mut self, outcome: Outcome) {
        if let Some(counts) = self.way.take() {
            counts.ended(&outcome);
        }
    }
}

impl Drop for BodyCall {
    fn drop(&mut self) {
        if let Some(counts) = self.way.take() {
            counts.add(Count::Cancelled);
        }
    }
}

impl fmt::Debug for BodyCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyCall").finish_non_exhaustive()
    }
}
