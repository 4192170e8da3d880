use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::BoxError;

use crate::call::BulkheadCall;
use crate::plan::Plan;
use crate::slots::{Arrival, Permit, Refusal, Room, Ticket, Visitor};
use crate::way::{Held, WayToAll};

/// A call that waits for its turn.
#[pin_project]
pub(crate) struct Turn {
    plan: Plan,
    visitor: Visitor,
    way: Held,
    since: Instant,
    /// `None` once the turn has come, or never will.
    queue: Option<Queue>,
    /// Until the wait may be over. `None` before anybody has asked when that is.
    #[pin]
    timer: Option<Sleep>,
}

/// What a call waits for.
pub(crate) enum Queue {
    /// A slot of its compartment.
    Own(Ticket<Held>),
    /// With that, one of the slots of all keys together.
    All(Permit<Held>, Ticket<WayToAll>),
}

impl Turn {
    pub(crate) fn new(plan: Plan, visitor: Visitor, way: Held, queue: Queue) -> Self {
        Self {
            plan,
            visitor,
            way,
            since: Instant::now(),
            queue: Some(queue),
            timer: None,
        }
    }

    pub(crate) const fn plan(&self) -> Plan {
        self.plan
    }

    /// Returns the call when its turn has come, or the error of the one that waits no longer.
    pub(crate) fn poll(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BulkheadCall, BoxError>> {
        let granted = ready!(self.as_mut().poll_queue(cx));
        let this = self.project();
        let now = Instant::now();
        let compartment = &this.way.compartment;
        compartment.counts.waited(now - *this.since, now);
        Poll::Ready(granted.map_err(|refusal| compartment.refuse(refusal)))
    }

    fn poll_queue(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BulkheadCall, Refusal>> {
        loop {
            let mut this = self.as_mut().project();
            let Some(queue) = this.queue.take() else {
                return Poll::Pending;
            };
            let queue = match queue.poll(cx) {
                Step::Granted(permit, None) if this.plan.has_total() => {
                    this.timer.set(None);
                    let way = WayToAll(Arc::clone(this.way));
                    this.visitor.since = Some(*this.since);
                    match Room::arrive(way, this.visitor, Instant::now) {
                        Arrival::Entered(of_all) => {
                            return Poll::Ready(Ok(BulkheadCall::of(permit, Some(of_all))));
                        }
                        Arrival::Waiting(ticket) => {
                            *this.queue = Some(Queue::All(permit, ticket));
                            continue;
                        }
                        Arrival::Refused(refusal) => return Poll::Ready(Err(refusal)),
                    }
                }
                Step::Granted(permit, of_all) => {
                    return Poll::Ready(Ok(BulkheadCall::of(permit, of_all)));
                }
                Step::Refused(refusal) => return Poll::Ready(Err(refusal)),
                Step::Waits(queue) => this.queue.insert(queue),
            };
            let Some(at) = queue.expires_at() else {
                return Poll::Pending;
            };
            if this.timer.is_none() {
                this.timer.set(Some(sleep_until(at)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(timer.poll(cx));
            }
            this.timer.set(None);
            if let Some(refusal) = queue.expire(Instant::now()) {
                *this.queue = None;
                return Poll::Ready(Err(refusal));
            }
        }
    }
}

/// What came of asking a queue.
enum Step {
    Granted(Permit<Held>, Option<Permit<WayToAll>>),
    Refused(Refusal),
    Waits(Queue),
}

impl Queue {
    fn poll(self, cx: &mut Context<'_>) -> Step {
        match self {
            Self::Own(mut ticket) => match ticket.poll(cx) {
                Poll::Ready(Ok(permit)) => Step::Granted(permit, None),
                Poll::Ready(Err(refusal)) => Step::Refused(refusal),
                Poll::Pending => Step::Waits(Self::Own(ticket)),
            },
            Self::All(permit, mut ticket) => match ticket.poll(cx) {
                Poll::Ready(Ok(of_all)) => Step::Granted(permit, Some(of_all)),
                Poll::Ready(Err(refusal)) => Step::Refused(refusal),
                Poll::Pending => Step::Waits(Self::All(permit, ticket)),
            },
        }
    }

    fn expires_at(&self) -> Option<Instant> {
        match self {
            Self::Own(ticket) => ticket.expires_at(),
            Self::All(_, ticket) => ticket.expires_at(),
        }
    }

    fn expire(&mut self, now: Instant) -> Option<Refusal> {
        match self {
            Self::Own(ticket) => ticket.expire(now),
            Self::All(_, ticket) => ticket.expire(now),
        }
    }
}
