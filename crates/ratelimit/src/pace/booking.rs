use tokio::time::Instant;

use crate::call::RateLimitCall;
use crate::leaky::Turn;

/// A call that waits for its turn. Dropped before it is made, it gives that back.
pub(super) struct Booking<P> {
    /// `None` once it is made.
    call: Option<RateLimitCall<P>>,
    turn: Turn,
    since: Instant,
}

impl<P> Booking<P> {
    pub(super) fn new(call: RateLimitCall<P>, turn: Turn) -> Self {
        if let Some(core) = call.core() {
            core.counts.waits();
        }
        Self {
            call: Some(call),
            turn,
            since: Instant::now(),
        }
    }

    /// Returns when the turn begins.
    pub(super) fn begins_at(&self) -> Instant {
        self.since + self.turn.wait
    }

    /// Ends the wait: from here on the call is one that is made.
    pub(super) fn begin(mut self) -> Option<RateLimitCall<P>> {
        let call = self.call.take()?;
        if let Some(core) = call.core() {
            let now = Instant::now();
            core.counts.waits_no_longer();
            core.counts.waited(now - self.since, now);
        }
        Some(call)
    }
}

impl<P> Drop for Booking<P> {
    fn drop(&mut self) {
        if let Some(call) = &self.call {
            if let Some(core) = call.core() {
                core.counts.waits_no_longer();
            }
            call.leave(&self.turn);
        }
    }
}
