use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{BoxError, DynError, Mode, Padded, Reason, Rejection, SaysExceeded};

use super::super::counts::Counts;

/// What a call holds: the stripe of the thread that made it, which leads to the counts.
pub(super) type Way = Arc<Padded<Arc<Counts>>>;

/// What is known, while a call is out, of what the next service was told.
#[derive(Debug)]
pub(super) struct Told<D> {
    /// From when on it is the caller's deadline that the time is over.
    over: Instant,
    deadlines: D,
    way: Way,
}

impl<D> Told<D> {
    pub(super) const fn new(over: Instant, deadlines: D, way: Way) -> Self {
        Self {
            over,
            deadlines,
            way,
        }
    }

    /// Whether an answer says that the time is over, and it is.
    #[inline]
    pub(super) fn is_exceeded<Res>(&self, answer: Result<&Res, &DynError>) -> bool
    where
        D: SaysExceeded<Res>,
    {
        // An answer that is none of these costs no look at the clock.
        self.deadlines.says_exceeded(answer) && Instant::now() >= self.over
    }

    /// Counts the call, and makes the error that it gets.
    #[cold]
    pub(super) fn exceeded(&self) -> BoxError {
        self.way.cut_off(Mode::Enforce);
        Rejection::new(Reason::DeadlineExceeded, self.way.name()).into()
    }
}
