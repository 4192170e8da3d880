use std::fmt;
use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Call, Outcome};

use crate::Penalty;
use crate::counts::Count;
use crate::leaky::Place;
use crate::verdict::Ask;
use crate::way::{Core, Held};

/// A call that has passed a rate limit.
pub struct RateLimitCall<P> {
    /// `None` for a call that the limit does not look at, and once it has ended.
    watched: Option<(Held, Ask)>,
    penalty: P,
}

impl<P> RateLimitCall<P> {
    #[inline]
    pub(crate) const fn new(way: Held, ask: Ask, penalty: P) -> Self {
        Self {
            watched: Some((way, ask)),
            penalty,
        }
    }

    /// Returns what they share whom the call belongs to.
    pub(crate) fn core(&self) -> Option<&Arc<Core>> {
        self.watched.as_ref().map(|(way, _)| &way.0.0)
    }

    /// Ends a call that is refused after all, and counted so.
    pub(crate) fn forget(mut self) {
        self.watched = None;
    }

    /// Gives back what a call has taken that goes away from its `place` in the queue.
    pub(crate) fn leave(&self, place: &Place) {
        if let Some((way, ask)) = &self.watched {
            way.0.0.limits.load().leave(*ask, place, Instant::now());
        }
    }

    #[cold]
    fn was_dropped(&mut self) {
        if let Some((way, _)) = self.watched.take() {
            way.0.0.counts.add(Count::Cancelled);
        }
    }

    #[inline]
    pub(crate) const fn unwatched(penalty: P) -> Self {
        Self {
            watched: None,
            penalty,
        }
    }
}

impl<P: Penalty> Call for RateLimitCall<P> {
    fn head(&mut self, _: &Outcome) {}

    // Once it is plain that nothing of it is left to drop, it need not be moved through memory:
    // to read back in pairs what was just written by the word takes as long as a locked instruction.
    #[inline(always)]
    fn end(mut self, outcome: Outcome) {
        let Some((way, ask)) = self.watched.take() else {
            return;
        };
        let core = &way.0.0;
        core.counts.add(Count::of(&outcome));
        let cost = self.penalty.penalty(&outcome);
        drop(self);
        if cost > 0 {
            core.charge(Ask { cost, ..ask });
        }
    }
}

impl<P> Drop for RateLimitCall<P> {
    #[inline(always)]
    fn drop(&mut self) {
        if self.watched.is_some() {
            self.was_dropped();
        }
    }
}

impl<P> fmt::Debug for RateLimitCall<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimitCall").finish_non_exhaustive()
    }
}
