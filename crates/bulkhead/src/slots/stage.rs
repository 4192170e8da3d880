//! What the tests of rooms share: a room, its clock, and who is in it.

use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Priority, Reason};

use super::permit::Place;
use super::ticket::Standing;
use super::{Room, RoomSettings, Visitor};
use crate::Order;
use crate::queue::Class;

pub(super) const MS: Duration = Duration::from_millis(1);

pub(super) struct Stage {
    pub(super) room: Room,
    pub(super) now: Instant,
}

pub(super) const fn settings(limit: usize, max_queue: usize) -> RoomSettings {
    RoomSettings {
        limit,
        max_queue,
        max_wait: Duration::from_secs(1),
        order: Order::Fifo,
        reserves: Vec::new(),
        partitions: Vec::new(),
        stripes: 2,
    }
}

pub(super) fn of(priority: Priority) -> Visitor {
    Visitor {
        class: Class {
            priority,
            partition: None,
        },
        ..Visitor::default()
    }
}

pub(super) fn stage(settings: RoomSettings) -> Stage {
    Stage {
        room: Room::new(settings),
        now: Instant::now(),
    }
}

impl Stage {
    pub(super) fn visit(&self, visitor: &Visitor) -> Standing {
        self.room.take_or_wait(0, visitor, || self.now)
    }

    pub(super) fn enters(&self, visitor: &Visitor) -> Place {
        match self.visit(visitor) {
            Standing::Entered(place) => place,
            other => panic!("{other:?} instead of a slot"),
        }
    }

    /// Returns a number by which to ask how the one stands who waits.
    pub(super) fn waits(&self, visitor: &Visitor) -> u32 {
        match self.visit(visitor) {
            Standing::Waiting { at, .. } => at,
            other => panic!("{other:?} instead of waiting"),
        }
    }

    pub(super) fn refuses(&self, visitor: &Visitor) -> (Reason, Option<Duration>) {
        match self.visit(visitor) {
            Standing::Refused(refusal) => (refusal.reason, refusal.retry_after),
            other => panic!("{other:?} instead of a refusal"),
        }
    }

    pub(super) fn leaves(&self, place: Place) {
        self.room.leave(place, || self.now);
    }

    pub(super) fn poll(&self, at: u32) -> Standing {
        self.room
            .poll_wait(at, 0, &Context::from_waker(Waker::noop()))
    }

    /// Returns the place that was granted to the one who waited at `at`.
    pub(super) fn is_served(&self, at: u32) -> Place {
        match self.poll(at) {
            Standing::Entered(place) => place,
            other => panic!("{other:?} instead of a slot"),
        }
    }

    pub(super) fn still_waits(&self, at: u32) -> bool {
        matches!(self.poll(at), Standing::Waiting { .. })
    }

    /// Returns the reason if the waiting at `at` is over now.
    pub(super) fn expires(&self, at: u32) -> Option<Reason> {
        match self.room.expire(at, self.now) {
            Standing::Refused(refusal) => Some(refusal.reason),
            _ => None,
        }
    }
}
