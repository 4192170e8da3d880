use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::{BoxError, Reason};

use crate::call::BulkheadCall;
use crate::counts::Undecided;
use crate::plan::Plan;
use crate::slots::{Arrival, Permit, Refusal, Room, Ticket, Visitor};
use crate::way::{Held, WayToAll};

/// A call that waits for its turn.
#[pin_project]
pub(crate) struct Turn {
    plan: Plan,
    visitor: Visitor,
    undecided: Undecided,
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
            undecided: Undecided::new(&way.counts),
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
        let mut this = self.project();
        this.timer.set(None);
        this.undecided.decided();
        let now = Instant::now();
        let compartment = &this.way.compartment;
        compartment.counts.waited(now - *this.since, now);
        Poll::Ready(granted.map_err(|refusal| compartment.refuse(refusal)))
    }

    /// Waits with a slot for a service that is not ready, and returns the error of a call that has
    /// waited for too long.
    pub(crate) fn poll_patience(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BoxError> {
        let this = self.as_mut().project();
        let compartment = &this.way.compartment;
        let longest = this.since.checked_add(compartment.room.max_wait());
        let deadline = this.visitor.deadline;
        let Some(until) = [longest, deadline].into_iter().flatten().min() else {
            return Poll::Pending;
        };
        let mut timer = this.timer;
        if timer.is_none() {
            timer.set(Some(sleep_until(until)));
        }
        if let Some(timer) = timer.as_pin_mut() {
            ready!(timer.poll(cx));
        }
        let reason = match deadline {
            Some(deadline) if deadline <= until => Reason::DeadlineExceeded,
            _ => Reason::QueueTimeout,
        };
        Poll::Ready(compartment.refuse(Refusal::new(reason, None)))
    }

    fn poll_queue(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<BulkheadCall, Refusal>> {
        while let Some(queue) = self.as_mut().project().queue.take() {
            let next = match queue.poll(cx) {
                Step::HasOwn(permit) if self.plan.has_total() => self.as_mut().arrive(permit),
                step => step,
            };
            match next {
                Step::HasOwn(permit) => return Poll::Ready(Ok(BulkheadCall::of(permit, None))),
                Step::HasBoth(permit, of_all) => {
                    return Poll::Ready(Ok(BulkheadCall::of(permit, Some(of_all))));
                }
                Step::Refused(refusal) => return Poll::Ready(Err(refusal)),
                Step::Moved(queue) => *self.as_mut().project().queue = Some(queue),
                Step::Waits(queue) => {
                    *self.as_mut().project().queue = Some(queue);
                    if let Some(refusal) = ready!(self.as_mut().poll_time(cx)) {
                        return Poll::Ready(Err(refusal));
                    }
                }
            }
        }
        Poll::Pending
    }

    /// Goes on to the room of all keys, with a slot of its own.
    fn arrive(self: Pin<&mut Self>, permit: Permit<Held>) -> Step {
        let mut this = self.project();
        this.timer.set(None);
        this.visitor.since = Some(*this.since);
        let way = WayToAll(Arc::clone(this.way));
        match Room::arrive(&way, this.visitor, Instant::now) {
            Arrival::Entered(of_all) => Step::HasBoth(permit, of_all),
            Arrival::Waiting(ticket) => Step::Moved(Queue::All(permit, ticket)),
            Arrival::Refused(refusal) => Step::Refused(refusal),
        }
    }

    /// Waits until it is time to look at the queue again, and returns the refusal of a call that has
    /// waited for too long.
    fn poll_time(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Refusal>> {
        let mut this = self.project();
        let Some(queue) = this.queue else {
            return Poll::Pending;
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
        let refusal = queue.expire(Instant::now());
        if refusal.is_some() {
            *this.queue = None;
        }
        Poll::Ready(refusal)
    }
}

/// What came of asking a queue.
enum Step {
    HasOwn(Permit<Held>),
    HasBoth(Permit<Held>, Permit<WayToAll>),
    Refused(Refusal),
    Waits(Queue),
    /// It is in another queue, which has not been asked yet.
    Moved(Queue),
}

impl Queue {
    fn poll(self, cx: &mut Context<'_>) -> Step {
        match self {
            Self::Own(mut ticket) => match ticket.poll(cx) {
                Poll::Ready(Ok(permit)) => Step::HasOwn(permit),
                Poll::Ready(Err(refusal)) => Step::Refused(refusal),
                Poll::Pending => Step::Waits(Self::Own(ticket)),
            },
            Self::All(permit, mut ticket) => match ticket.poll(cx) {
                Poll::Ready(Ok(of_all)) => Step::HasBoth(permit, of_all),
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
