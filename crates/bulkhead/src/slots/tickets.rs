//! What waiting is like from outside: wake-ups, and what is dropped.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use tokio::time::Instant;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};
use watertight_core::Reason;

use super::stage::{MS, settings};
use super::{Arrival, Entrance, Permit, Refusal, Room, RoomSettings, Ticket, Visitor};

#[derive(Clone, Debug)]
struct Door(Arc<Room>);

impl Entrance for Door {
    fn room(&self) -> &Room {
        &self.0
    }

    fn stripe(&self) -> usize {
        1
    }
}

fn door(settings: RoomSettings) -> Door {
    Door(Arc::new(Room::new(settings)))
}

fn enters(door: &Door) -> Permit<Door> {
    Room::enter(door, &Visitor::default()).expect("there is a slot")
}

fn waits(door: &Door) -> Ticket<Door> {
    assert!(Room::enter(door, &Visitor::default()).is_none());
    match Room::arrive(door, &Visitor::default(), Instant::now) {
        Arrival::Waiting(ticket) => ticket,
        other => panic!("{other:?} instead of waiting"),
    }
}

type Answer = Result<Permit<Door>, Refusal>;

fn task(mut ticket: Ticket<Door>) -> tokio_test::task::Spawn<impl Future<Output = Answer>> {
    spawn(std::future::poll_fn(move |cx| ticket.poll(cx)))
}

#[test]
fn who_waits_is_woken_once_when_it_is_his_turn() {
    let door = door(settings(1, 5));
    let permit = enters(&door);
    let mut first = task(waits(&door));
    let mut second = task(waits(&door));
    assert_pending!(first.poll());
    assert_pending!(second.poll());

    drop(permit);

    assert!(first.is_woken() && !second.is_woken());
    let permit = assert_ready!(first.poll()).unwrap();
    assert_eq!(door.0.in_flight(), 1);
    drop(permit);
    assert!(second.is_woken());
    assert!(assert_ready!(second.poll()).is_ok());
    assert_eq!(door.0.in_flight(), 0);
}

#[test]
fn whoever_polls_last_is_woken() {
    let door = door(settings(1, 5));
    let permit = enters(&door);
    let mut ticket = waits(&door);
    let mut before = spawn(());
    let mut after = spawn(());
    assert!(before.enter(|cx, _| ticket.poll(cx).is_pending()));
    assert!(after.enter(|cx, _| ticket.poll(cx).is_pending()));

    drop(permit);

    assert!(!before.is_woken() && after.is_woken());
}

#[test]
fn who_was_granted_a_slot_before_he_first_asked_has_it() {
    let door = door(settings(1, 5));
    let permit = enters(&door);
    let ticket = waits(&door);

    drop(permit);

    assert!(assert_ready!(task(ticket).poll()).is_ok());
}

#[test]
fn a_granted_slot_that_nobody_takes_wakes_the_next() {
    let door = door(settings(1, 5));
    let permit = enters(&door);
    let first = waits(&door);
    let mut second = task(waits(&door));
    assert_pending!(second.poll());

    drop(permit);
    assert!(!second.is_woken());
    drop(first);

    assert!(second.is_woken());
    assert!(assert_ready!(second.poll()).is_ok());
}

#[test]
fn a_ticket_that_has_ended_stays_so() {
    let door = door(settings(1, 5));
    let permit = enters(&door);
    let mut ticket = waits(&door);
    let later = Instant::now() + 2000 * MS;

    let refusal = ticket.expire(later).unwrap();

    assert_eq!(refusal.reason, Reason::QueueTimeout);
    assert_eq!(ticket.expire(later), None);
    assert!(spawn(()).enter(|cx, _| ticket.poll(cx).is_pending()));
    drop((ticket, permit));
    assert_eq!((door.0.in_flight(), door.0.queued()), (0, 0));
}

#[test]
fn a_panic_gives_the_slot_back() {
    let door = door(settings(1, 0));

    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let _permit = enters(&door);
        resume_unwind(Box::new("broken"));
    }));

    assert!(panicked.is_err());
    enters(&door);
}

/// Panics when it is to wake somebody.
struct Broken;

impl Wake for Broken {
    fn wake(self: Arc<Self>) {
        resume_unwind(Box::new("broken"));
    }
}

#[test]
fn a_waker_that_panics_harms_nobody_else() {
    let broken = Waker::from(Arc::new(Broken));
    let door = door(settings(3, 5));
    let permits = [(); 3].map(|()| enters(&door));
    let mut first = waits(&door);
    assert!(first.poll(&mut Context::from_waker(&broken)).is_pending());
    let mut second = task(waits(&door));
    let mut third = task(waits(&door));
    assert_pending!(second.poll());
    assert_pending!(third.poll());

    // The first is woken with the others.
    door.0.resize(6, Instant::now);

    assert!(second.is_woken() && third.is_woken());
    assert!(assert_ready!(second.poll()).is_ok());
    assert!(assert_ready!(third.poll()).is_ok());
    drop((first, permits));
    assert_eq!(door.0.in_flight(), 0);
}

#[test]
fn who_gives_a_slot_back_does_not_see_a_waker_panic() {
    let broken = Waker::from(Arc::new(Broken));
    let door = door(settings(1, 5));
    let permit = enters(&door);
    let mut first = waits(&door);
    assert!(first.poll(&mut Context::from_waker(&broken)).is_pending());

    let dropped = catch_unwind(AssertUnwindSafe(|| drop(permit)));

    assert!(dropped.is_ok());
    assert!(matches!(
        first.poll(&mut Context::from_waker(Waker::noop())),
        Poll::Ready(Ok(_))
    ));
}

#[test]
fn waiting_allocates_nothing_once_the_queue_has_grown() {
    let door = door(settings(1, 5));
    let wait = || {
        let permit = enters(&door);
        let mut ticket = waits(&door);
        let polled = ticket.poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Pending));
        drop(permit);
        drop(ticket);
    };
    wait();

    assert_eq!(allocation_counter::measure(wait).count_total, 0);
}
