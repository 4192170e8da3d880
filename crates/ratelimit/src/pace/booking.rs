use std::sync::Arc;

use tokio::sync::futures::OwnedNotified;
use tokio::time::Instant;

use crate::call::RateLimitCall;
use crate::leaky::Place;

/// A call that waits for its turn. Dropped before it is made, it gives that back.
pub(super) struct Booking<P> {
    /// `None` once it is made.
    call: Option<RateLimitCall<P>>,
    place: Place,
    since: Instant,
}

impl<P> Booking<P> {
    pub(super) fn new(call: RateLimitCall<P>, place: Place) -> Self {
        if let Some(core) = call.core() {
            core.counts.waits();
        }
        Self {
            call: Some(call),
            place,
            since: Instant::now(),
        }
    }

    /// Returns when the turn begins.
    pub(super) fn begins_at(&self) -> Instant {
        self.place.begins_at()
    }

    /// Returns what is ready when the limits have changed from now on.
    pub(super) fn change(&self) -> Option<OwnedNotified> {
        let core = self.call.as_ref()?.core()?;
        Some(Arc::clone(&core.changed).notified_owned())
    }

    /// Goes by the limits in force, and returns whether the turn has been moved.
    pub(super) fn follow(&mut self) -> bool {
        self.place.follow()
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
            self.place.follow();
            call.leave(&self.place);
        }
    }
}
