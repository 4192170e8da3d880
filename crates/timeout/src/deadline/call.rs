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
    /// Whether it goes on with the body of its response.
    has_body: bool,
}

impl DeadlineCall {
    pub(super) const fn new(way: Way, mode: Mode, deadline: Option<Instant>) -> Self {
        Self {
            way: Some(way),
            mode,
            deadline,
            has_body: false,
        }
    }

    pub(super) const fn unwatched() -> Self {
        Self {
            way: None,
            mode: Mode::Off,
            deadline: None,
            has_body: false,
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|it| Instant::now() >= it)
    }
}

impl Call for DeadlineCall {
    fn head(&mut self, _: &Outcome) {
        self.has_body = true;
    }

    #[inline]
    fn end(mut self, outcome: Outcome) {
        let way = self.way.take();
        // An answer that is late by a moment has won. A body that ends late was cut off.
        let late = (self.has_body || self.mode == Mode::Shadow) && self.is_late();
        let mode = self.mode;
        mem::forget(self);
        let Some(counts) = way else { return };
        if late {
            counts.cut_off(mode);
        }
        if !late || mode == Mode::Shadow {
            counts.answered(&outcome);
        }
    }
}

impl Drop for DeadlineCall {
    #[inline]
    fn drop(&mut self) {
        if let Some(counts) = self.way.take() {
            self.was_dropped(&counts);
        }
    }
}

impl DeadlineCall {
    /// A call that is dropped after its deadline was cut off, whoever did it.
    #[cold]
    fn was_dropped(&self, counts: &Counts) {
        let late = self.is_late();
        if late {
            counts.cut_off(self.mode);
        }
        if !late || self.mode == Mode::Shadow {
            counts.add(Count::Cancelled);
        }
    }
}

impl fmt::Debug for DeadlineCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineCall").finish_non_exhaustive()
    }
}
