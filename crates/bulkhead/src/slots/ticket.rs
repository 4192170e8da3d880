use std::fmt;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::permit::{Entrance, Permit, Place};
use super::{Refusal, Room, Visitor};

/// What becomes of a call that found no free slot at first.
#[derive(Debug)]
pub(crate) enum Arrival<E: Entrance> {
    /// There was one after all.
    Entered(Permit<E>),
    Waiting(Ticket<E>),
    Refused(Refusal),
}

/// A place in the queue, which is left when this is dropped. If a slot has been granted meanwhile,
/// that goes to the next.
pub(crate) struct Ticket<E: Entrance> {
    /// `None` once it is settled.
    entrance: Option<E>,
    at: u32,
    until: Option<Instant>,
}

impl Room {
    /// Takes a slot that is free, if the visitor may have it and nobody waits.
    pub(crate) fn enter<E: Entrance>(entrance: &E, visitor: &Visitor) -> Option<Permit<E>> {
        let stripe = entrance.stripe() as u32;
        let place = entrance.room().take(stripe, visitor.class)?;
        Some(Permit::new(entrance.clone(), place))
    }

    /// Takes a slot, or a place in the queue, for a visitor who could not [enter](Self::enter).
    pub(crate) fn arrive<E: Entrance>(
        entrance: &E,
        visitor: &Visitor,
        now: impl FnOnce() -> Instant,
    ) -> Arrival<E> {
        let stripe = entrance.stripe() as u32;
        match entrance.room().take_or_wait(stripe, visitor, now) {
            Standing::Entered(place) => Arrival::Entered(Permit::new(entrance.clone(), place)),
            Standing::Waiting { at, until } => Arrival::Waiting(Ticket {
                entrance: Some(entrance.clone()),
                at,
                until,
            }),
            Standing::Refused(refusal) => Arrival::Refused(refusal),
        }
    }
}

/// How somebody stands who asked for a slot.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    Entered(Place),
    Waiting { at: u32, until: Option<Instant> },
    Refused(Refusal),
}

impl<E: Entrance> Ticket<E> {
    /// Returns what was granted, or the refusal. Who asks again after that is told to wait.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Permit<E>, Refusal>> {
        let Some(entrance) = &self.entrance else {
            return Poll::Pending;
        };
        let stripe = entrance.stripe() as u32;
        match entrance.room().poll_wait(self.at, stripe, cx) {
            Standing::Waiting { .. } => Poll::Pending,
            Standing::Entered(place) => Poll::Ready(self.end(|it| Ok(Permit::new(it, place)))),
            Standing::Refused(refusal) => Poll::Ready(self.end(|_| Err(refusal))),
        }
    }

    /// Returns when it is to be told that its [time is over](Self::expire), if ever.
    pub(crate) const fn expires_at(&self) -> Option<Instant> {
        self.until
    }

    /// Ends the waiting if its time is over. If not, that is over [later](Self::expires_at), or the
    /// waiting has ended and who waits is woken.
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Refusal> {
        let room = self.entrance.as_ref()?.room();
        match room.expire(self.at, now) {
            Standing::Refused(refusal) => {
                self.entrance = None;
                Some(refusal)
            }
            Standing::Waiting { until, .. } => {
                self.until = until;
                None
            }
            Standing::Entered(_) => None,
        }
    }

    fn end<T>(&mut self, with: impl FnOnce(E) -> T) -> T {
        with(self.entrance.take().expect("it has not ended before"))
    }
}

impl<E: Entrance> Drop for Ticket<E> {
    fn drop(&mut self) {
        if let Some(entrance) = &self.entrance {
            let stripe = entrance.stripe() as u32;
            entrance.room().abandon(self.at, stripe, Instant::now);
        }
    }
}

impl<E: Entrance> fmt::Debug for Ticket<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("at", &self.at)
            .field("until", &self.until)
            .finish()
    }
}
