//! What rooms do, step by step.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready};
use watertight_core::{Priority, Reason};

use super::{Arrival, Entrance, Permit, Refusal, Room, RoomSettings, Ticket, Visitor};
use crate::Order;
use crate::queue::Class;

const SECOND: Duration = Duration::from_secs(1);

#[derive(Clone, Debug)]
struct Door(Arc<Room>);

impl Entrance for Door {
    fn room(&self) -> &Room {
        &self.0
    }

    fn stripe(&self) -> usize {
        0
    }
}

fn settings(limit: usize, max_queue: usize) -> RoomSettings {
    RoomSettings {
        limit,
        max_queue,
        max_wait: SECOND,
        order: Order::Fifo,
        reserves: Vec::new(),
        partitions: Vec::new(),
        stripes: 2,
    }
}

fn room(settings: RoomSettings) -> Door {
    Door(Arc::new(Room::new(settings)))
}

fn enter(door: &Door) -> Option<Permit<Door>> {
    Room::enter(door.clone(), &Visitor::default()).ok()
}

fn visit(door: &Door, visitor: &Visitor, now: Instant) -> Arrival<Door> {
    match Room::enter(door.clone(), visitor) {
        Ok(permit) => Arrival::Entered(permit),
        Err(door) => Room::arrive(door, visitor, || now),
    }
}

fn waits(door: &Door, visitor: &Visitor, now: Instant) -> Ticket<Door> {
    match visit(door, visitor, now) {
        Arrival::Waiting(ticket) => ticket,
        other => panic!("{other:?} instead of waiting"),
    }
}

fn refused(door: &Door, visitor: &Visitor, now: Instant) -> Refusal {
    match visit(door, visitor, now) {
        Arrival::Refused(refusal) => refusal,
        other => panic!("{other:?} instead of a refusal"),
    }
}

#[test]
fn as_many_enter_as_there_are_slots() {
    let door = room(settings(2, 0));

    let (one, two) = (enter(&door), enter(&door));
    assert!(one.is_some() && two.is_some());
    assert!(enter(&door).is_none());
    assert_eq!(door.0.in_flight(), 2);

    drop(one);
    assert!(enter(&door).is_some());
    assert_eq!(door.0.in_flight(), 1);
}
