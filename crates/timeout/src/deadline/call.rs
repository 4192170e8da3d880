use std::fmt;
use std::mem;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Call, Mode, Outcome, Padded};

use super::counts::{Count, Counts};

/// What a call holds: the stripe of the thread that made it, which leads to the counts.
pub(super) type Way = Arc<Padded<Arc<Counts>>>;

/// A call that has come through a layer of deadlines. It reports how it ends.
pub struct DeadlineCall {
    /// `None` for a call that nobody looks at, and once it has ended.
    way: Option<Way>,
    mode: Mode,
    deadline: Option<Instant>,
}

impl DeadlineCall {
    pub(super) const fn new(way: Way, mode: Mode, deadline: Option<Instant>) -> Self {
        Self {
            way: Some(way),
            mode,
            deadline,
        }
    }

    pub(super) const fn unwatched() -> Self {
        Self {
            way: None,
            mode: Mode::Off,
            deadline: None,
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|it| Instant::now() >= it)
    }
}

impl Call for DeadlineCall {
    fn head(&mut self, _: &Outcome) {}

    #[inline]
    fn end(mut self, outcome: Outcome) {
        let way = self.way.take();
        // What is late all the same has won: an answer that was there in the same moment, or a body
        // that had come in time and is read later.
        let late = self.mode == Mode::Shadow && self.is_late();
        let mode = self.mode;
        mem::forget(self);
        let Some(counts) = way else { return };
        if late {
            counts.cut_off(mode);
        }
        counts.answered(&outcome);
    }

    fn break_off(mut self, outcome: Outcome) {
        if let Some(counts) = self.way.take() {
            self.was_dropped(&counts, Count::of(&outcome));
        }
    }
}

impl Drop for DeadlineCall {
    #[inline]
    fn drop(&mut self) {
        if let Some(counts) = self.way.take() {
            self.was_dropped(&counts, Count::Cancelled);
        }
    }
}

impl DeadlineCall {
    /// A call that is dropped after its deadline was cut off, whoever did it.
    #[cold]
    fn was_dropped(&self, counts: &Counts, in_time: Count) {
        let late = self.is_late();
        if late {
            counts.cut_off(self.mode);
        }
        if !late || self.mode == Mode::Shadow {
            counts.add(in_time);
        }
    }
}

impl fmt::Debug for DeadlineCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineCall").finish_non_exhaustive()
    }
}
