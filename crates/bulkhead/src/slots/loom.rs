//! Models of what threads do to one room at once. Each is run in every order there is, up to a
//! number of preemptions.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use loom::model::Builder;
use loom::thread;
use tokio::time::Instant;
use watertight_core::Priority;

use super::permit::Place;
use super::ticket::Standing;
use super::{Room, RoomSettings, Visitor};
use crate::Order;

/// So many slots that they are spread.
const PLENTY: usize = 8;

fn check(model: impl Fn() + Send + Sync + 'static) {
    let mut builder = Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

fn room(limit: usize, max_queue: usize) -> Arc<Room> {
    room_with(limit, max_queue, Order::Fifo)
}

fn room_with(limit: usize, max_queue: usize, order: Order) -> Arc<Room> {
    Arc::new(Room::new(RoomSettings {
        limit,
        max_queue,
        max_wait: Duration::from_secs(1),
        order,
        reserves: Vec::new(),
        partitions: Vec::new(),
        stripes: 2,
    }))
}

fn visit(room: &Room, stripe: u32) -> Standing {
    room.take_or_wait(stripe, &Visitor::default(), Instant::now)
}

fn enter(room: &Room, stripe: u32) -> Option<Place> {
    match visit(room, stripe) {
        Standing::Entered(place) => Some(place),
        Standing::Waiting { .. } | Standing::Refused(_) => None,
    }
}

/// Takes `count` slots, which are there.
fn fill(room: &Room, count: usize) -> Vec<Place> {
    (0..count).map(|_| enter(room, 0).unwrap()).collect()
}

fn leave(room: &Room, place: Place) {
    room.leave(place, Instant::now);
}

fn poll(room: &Room, at: u32) -> Standing {
    room.poll_wait(at, 0, &Context::from_waker(Waker::noop()))
}

/// Returns the place of one who has one, or must have been granted one meanwhile.
fn served(room: &Room, standing: Standing) -> Place {
    let standing = match standing {
        Standing::Waiting { at, .. } => poll(room, at),
        known => known,
    };
    match standing {
        Standing::Entered(place) => place,
        other => panic!("{other:?} instead of a slot"),
    }
}

/// Checks that just so many slots are free.
fn free_are(room: &Room, free: usize) {
    assert_eq!(room.limit() - room.in_flight(), free);
    fill(room, free);
    assert!(enter(room, 1).is_none());
}

#[test]
fn of_two_that_want_the_last_slot_one_gets_it() {
    for limit in [1, PLENTY] {
        check(move || {
            let room = room(limit, 0);
            fill(&room, limit - 1);
            let other = Arc::clone(&room);

            let thread = thread::spawn(move || enter(&other, 1).is_some());
            let mine = enter(&room, 0).is_some();
            let theirs = thread.join().unwrap();

            assert!(mine != theirs);
            free_are(&room, 0);
        });
    }
}

#[test]
fn two_that_find_a_slot_each_both_get_one() {
    check(|| {
        let room = room(PLENTY, 0);
        fill(&room, PLENTY - 2);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || enter(&other, 1).is_some());
        assert!(enter(&room, 0).is_some());
        assert!(thread.join().unwrap());

        free_are(&room, 0);
    });
}

#[test]
fn a_slot_that_is_given_back_while_others_are_gathered_is_not_lost() {
    for stripe in [0, 1] {
        check(move || {
            let room = room(PLENTY, 0);
            let place = enter(&room, stripe).unwrap();
            fill(&room, PLENTY - 2);
            let other = Arc::clone(&room);

            let thread = thread::spawn(move || leave(&other, place));
            assert!(enter(&room, 0).is_some());
            let another = enter(&room, 0).is_some();
            thread.join().unwrap();

            free_are(&room, 1 - usize::from(another));
        });
    }
}

#[test]
fn slots_that_are_given_back_are_spread_again_once() {
    check(|| {
        let room = room(PLENTY, 0);
        let mut places = fill(&room, PLENTY);
        let (last, last_but_one) = (places.pop().unwrap(), places.pop().unwrap());
        for place in places {
            leave(&room, place);
        }
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || {
            leave(&other, last);
            enter(&other, 1).map(|place| leave(&other, place))
        });
        leave(&room, last_but_one);
        assert!(enter(&room, 0).is_some());
        assert!(thread.join().unwrap().is_some());

        free_are(&room, PLENTY - 1);
    });
}

#[test]
fn who_comes_while_the_slot_is_given_back_gets_it() {
    for limit in [1, PLENTY] {
        check(move || {
            let room = room(limit, 1);
            let place = fill(&room, limit).pop().unwrap();
            let other = Arc::clone(&room);

            let thread = thread::spawn(move || visit(&other, 1));
            leave(&room, place);
            let standing = thread.join().unwrap();

            served(&room, standing);
            assert_eq!((room.in_flight(), room.queued()), (limit, 0));
        });
    }
}

#[test]
fn who_gives_back_on_a_stripe_serves_who_waits() {
    check(|| {
        let room = room(PLENTY, 1);
        let place = enter(&room, 1).unwrap();
        fill(&room, PLENTY - 2);
        let other = Arc::clone(&room);

        // The last slot is taken, and somebody waits, while the stripes may still be in use.
        let thread = thread::spawn(move || leave(&other, place));
        let first = visit(&room, 0);
        let second = visit(&room, 0);
        thread.join().unwrap();

        served(&room, first);
        served(&room, second);
        assert_eq!((room.in_flight(), room.queued()), (PLENTY, 0));
    });
}

#[test]
fn nobody_passes_the_one_who_waits() {
    check(|| {
        let room = room(1, 2);
        let place = enter(&room, 0).unwrap();
        let first = visit(&room, 0);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || leave(&other, place));
        assert!(matches!(visit(&room, 1), Standing::Waiting { .. }));
        thread.join().unwrap();

        served(&room, first);
    });
}

#[test]
fn nobody_passes_the_one_who_waits_by_a_stripe() {
    check(|| {
        let room = room(PLENTY, 2);
        let place = enter(&room, 1).unwrap();
        fill(&room, PLENTY - 2);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || leave(&other, place));
        let first = visit(&room, 0);
        let second = visit(&room, 0);
        let third = visit(&room, 1);
        thread.join().unwrap();

        served(&room, first);
        served(&room, second);
        assert!(matches!(third, Standing::Waiting { .. }));
    });
}

#[test]
fn a_slot_is_not_granted_to_the_one_who_goes() {
    check(|| {
        let room = room(1, 2);
        let place = enter(&room, 0).unwrap();
        let first = visit(&room, 0);
        let second = visit(&room, 0);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || leave(&other, place));
        if let Standing::Waiting { at, .. } = first {
            room.abandon(at, 0, Instant::now);
        }
        thread.join().unwrap();

        served(&room, second);
        assert_eq!((room.in_flight(), room.queued()), (1, 0));
    });
}

#[test]
fn who_is_refused_has_no_slot_and_who_has_one_is_not_refused() {
    check(|| {
        let room = room(1, 1);
        let place = enter(&room, 0).unwrap();
        let Standing::Waiting { at, .. } = visit(&room, 0) else {
            unreachable!()
        };
        let late = Instant::now() + Duration::from_secs(2);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || leave(&other, place));
        let refused = matches!(room.expire(at, late), Standing::Refused(_));
        thread.join().unwrap();

        if refused {
            free_are(&room, 1);
        } else {
            served(&room, poll(&room, at));
            free_are(&room, 0);
        }
    });
}

#[test]
fn a_lower_limit_holds_for_all_who_come_later() {
    for limit in [2, PLENTY] {
        check(move || {
            let room = room(limit, 0);
            let place = fill(&room, limit - 1).pop().unwrap();
            let other = Arc::clone(&room);

            let thread = thread::spawn(move || {
                leave(&other, place);
                enter(&other, 1).is_some()
            });
            room.resize(limit - 1, Instant::now);
            let mine = enter(&room, 0).is_some();
            let theirs = thread.join().unwrap();

            // One left, and at most one came for each of his slot and the one that went.
            let in_flight = limit - 2 + usize::from(mine) + usize::from(theirs);
            assert_eq!(room.in_flight(), in_flight);
            free_are(&room, (limit - 1).saturating_sub(in_flight));
        });
    }
}

#[test]
fn a_higher_limit_serves_who_waits() {
    check(|| {
        let room = room(1, 1);
        fill(&room, 1);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || visit(&other, 1));
        room.resize(2, Instant::now);
        let standing = thread.join().unwrap();

        served(&room, standing);
        assert_eq!((room.in_flight(), room.queued()), (2, 0));
    });
}

/// One who takes the place of whoever is less important in the full queue.
fn visit_as_critical(room: &Room, stripe: u32) -> Standing {
    let mut visitor = Visitor::default();
    visitor.class.priority = Priority::Critical;
    room.take_or_wait(stripe, &visitor, Instant::now)
}

#[test]
fn who_is_displaced_has_no_slot_and_who_has_one_is_not_displaced() {
    for limit in [1, PLENTY] {
        check(move || {
            let room = room_with(limit, 1, Order::Priority);
            let place = fill(&room, limit).pop().unwrap();
            let Standing::Waiting { at, .. } = visit(&room, 0) else {
                unreachable!()
            };
            let other = Arc::clone(&room);

            let thread = thread::spawn(move || leave(&other, place));
            let critical = visit_as_critical(&room, 1);
            thread.join().unwrap();

            match poll(&room, at) {
                Standing::Entered(place) => leave(&room, place),
                Standing::Refused(_) => {}
                Standing::Waiting { .. } => unreachable!("a slot was given back"),
            }
            leave(&room, served(&room, critical));
            assert_eq!((room.in_flight(), room.queued()), (limit - 1, 0));
            free_are(&room, 1);
        });
    }
}

#[test]
fn who_goes_while_he_is_displaced_takes_nothing_along() {
    check(|| {
        let room = room_with(1, 1, Order::Priority);
        let place = enter(&room, 0).unwrap();
        let Standing::Waiting { at, .. } = visit(&room, 0) else {
            unreachable!()
        };
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || visit_as_critical(&other, 1));
        room.abandon(at, 0, Instant::now);
        leave(&room, place);
        let critical = thread.join().unwrap();

        leave(&room, served(&room, critical));
        free_are(&room, 1);
    });
}

#[test]
fn of_two_who_want_one_place_the_queue_has_one() {
    check(|| {
        let room = room_with(1, 1, Order::Priority);
        let place = enter(&room, 0).unwrap();
        let low = visit(&room, 0);
        let other = Arc::clone(&room);

        let thread = thread::spawn(move || visit_as_critical(&other, 1));
        let mine = visit_as_critical(&room, 0);
        let theirs = thread.join().unwrap();

        let waits = |standing: &Standing| matches!(standing, Standing::Waiting { .. });
        assert!(waits(&low) && waits(&mine) != waits(&theirs));
        assert_eq!((room.in_flight(), room.queued()), (1, 1));
        leave(&room, place);
        let critical = if waits(&mine) { mine } else { theirs };
        leave(&room, served(&room, critical));
        free_are(&room, 1);
    });
}
