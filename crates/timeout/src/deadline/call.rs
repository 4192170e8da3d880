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
    /// Whether the deadline holds for the body of the response too.
    cuts_bodies_off: bool,
    shadow: Shadow,
}

impl DeadlineCall {
    pub(super) const fn new(
        way: Way,
        mode: Mode,
        deadline: Option<Instant>,
        cuts_bodies_off: bool,
    ) -> Self {
        Self {
            way: Some(way),
            mode,
            deadline,
            cuts_bodies_off,
            shadow: Shadow::new(),
        }
    }

    pub(super) const fn unwatched() -> Self {
        Self {
            way: None,
            mode: Mode::Off,
            deadline: None,
            cuts_bodies_off: false,
            shadow: Shadow::new(),
        }
    }

    fn is_late(&self) -> bool {
        self.deadline.is_some_and(|it| Instant::now() >= it)
    }
}

/// What a call in [`Mode::Shadow`] remembers, that nobody ends.
#[derive(Clone, Copy, Debug)]
struct Shadow {
    was_in_the_making: bool,
    /// Whether the rest of its response is what is asked for.
    is_body: bool,
    /// Whether it would have been ended by now: it was in the making at its deadline.
    is_cut_off: bool,
}

impl Shadow {
    const fn new() -> Self {
        Self {
            was_in_the_making: false,
            is_body: false,
            is_cut_off: false,
        }
    }

    /// What is there when it is asked for is in time, however late that is.
    fn polled(&mut self, is_in_the_making: bool, deadline: Instant) {
        if is_in_the_making && !self.is_body {
            self.is_cut_off |= Instant::now() >= deadline;
        } else if is_in_the_making || self.was_in_the_making {
            // What comes at the deadline wins, and a body has more to come.
            self.is_cut_off |= Instant::now() > deadline;
        }
        self.was_in_the_making = is_in_the_making;
    }
}

impl Call for DeadlineCall {
    #[inline]
    fn polled(&mut self, is_in_the_making: impl FnOnce() -> bool) {
        if self.mode == Mode::Shadow
            && let Some(deadline) = self.deadline
        {
            self.shadow.polled(is_in_the_making(), deadline);
        }
    }

    fn head(&mut self, _: &Outcome) {
        if !self.cuts_bodies_off {
            self.deadline = None;
        }
        self.shadow.is_body = true;
    }

    #[inline]
    fn end(mut self, outcome: Outcome) {
        let way = self.way.take();
        let (mode, shadow) = (self.mode, self.shadow);
        mem::forget(self);
        let Some(counts) = way else { return };
        if shadow.is_cut_off {
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
        let late = self.shadow.is_cut_off || self.is_late();
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
