use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::BoxError;

use super::door::Door;
use super::shared::Shared;
use crate::counts::Undecided;
use crate::slots::{Permit, Refusal, Ticket};

/// A call that waits for another to end.
#[pin_project]
pub(super) struct Turn {
    shared: Arc<Shared>,
    undecided: Undecided,
    since: Instant,
    ticket: Ticket<Door>,
    /// Until the wait may be over. `None` before anybody has asked when that is.
    #[pin]
    timer: Option<Sleep>,
}

impl Turn {
    pub(super) fn new(shared: Arc<Shared>, ticket: Ticket<Door>) -> Self {
        Self {
            undecided: Undecided::new(shared.counts()),
            shared,
            since: Instant::now(),
            ticket,
            timer: None,
        }
    }

    /// Returns the slot of the call when its turn has come, or the error of one that waits no longer.
    pub(super) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit<Door>, BoxError>> {
        let granted = ready!(self.as_mut().poll_ticket(cx));
        let this = self.project();
        this.undecided.decided();
        let now = Instant::now();
        this.shared.counts().waited(now - *this.since, now);
        Poll::Ready(granted.map_err(|refusal| this.shared.refuse(refusal)))
    }

    fn poll_ticket(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Permit<Door>, Refusal>> {
        let mut this = self.project();
        loop {
            if let Poll::Ready(granted) = this.ticket.poll(cx) {
                return Poll::Ready(granted);
            }
            let Some(at) = this.ticket.expires_at() else {
                return Poll::Pending;
            };
            if this.timer.is_none() {
                this.timer.set(Some(sleep_until(at)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
            this.timer.set(None);
            if let Some(refusal) = this.ticket.expire(Instant::now()) {
                return Poll::Ready(Err(refusal));
            }
        }
    }
}
