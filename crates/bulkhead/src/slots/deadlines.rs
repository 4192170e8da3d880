//! What rooms know of how long it takes, and whom they refuse for it.

use std::time::Duration;

use watertight_core::{Priority, Reason};

use super::permit::Place;
use super::stage::{MS, Stage, of, settings, stage};
use super::ticket::Standing;
use super::{RoomSettings, Visitor};
use crate::Order;
use crate::queue::Class;

/// One slot, which came free every 10 s for as long as somebody waited.
fn slow() -> (Stage, Place) {
    let mut stage = stage(settings(1, 5));
    let mut place = stage.enters(&Visitor::default());
    for _ in 0..20 {
        let at = stage.waits(&Visitor::default());
        stage.now += 10_000 * MS;
        stage.leaves(place);
        place = stage.is_served(at);
    }
    (stage, place)
}

fn within(stage: &Stage, visitor: Visitor, time: Duration) -> Visitor {
    Visitor {
        deadline: Some(stage.now + time),
        ..visitor
    }
}

#[test]
fn one_who_waits_alone_is_enough_to_learn_from() {
    let (stage, _place) = slow();

    let short = within(&stage, Visitor::default(), 100 * MS);

    assert_eq!(stage.refuses(&short).0, Reason::DeadlineExceeded);
}

#[test]
fn a_service_that_has_become_fast_again_is_found_out() {
    let (mut stage, mut place) = slow();
    let mut served = 0;

    // All who come now have 200 ms, and need 160 ms.
    for _ in 0..200 {
        let hurried = within(&stage, Visitor::default(), 200 * MS);
        let standing = stage.visit(&hurried);
        stage.now += 80 * MS;
        stage.leaves(place);
        place = match standing {
            Standing::Waiting { at, .. } => {
                served += 1;
                stage.is_served(at)
            }
            _ => stage.enters(&Visitor::default()),
        };
    }

    // 10 s are 125 calls.
    assert!(served > 70, "{served}");
}

#[test]
fn one_at_a_time_finds_out_whether_a_service_is_still_slow() {
    let (mut stage, _place) = slow();
    stage.now += 10_000 * MS;
    let hurried = within(&stage, Visitor::default(), 100 * MS);

    let at = stage.waits(&hurried);
    assert_eq!(stage.refuses(&hurried).0, Reason::DeadlineExceeded);
    stage.room.abandon(at, 0, || stage.now);

    assert_eq!(stage.refuses(&hurried).0, Reason::DeadlineExceeded);
}

#[test]
fn nobody_has_to_find_out_while_somebody_waits_anyhow() {
    let (mut stage, _place) = slow();
    let _patient = stage.waits(&Visitor::default());

    stage.now += 20_000 * MS;

    let hurried = within(&stage, Visitor::default(), 100 * MS);
    assert_eq!(stage.refuses(&hurried).0, Reason::DeadlineExceeded);
}

/// Lets a slot come free each 10 ms, with somebody waiting: now it is known.
fn learn(stage: &mut Stage, places: &mut Vec<Place>, visitor: &Visitor) {
    for _ in 0..20 {
        let at = stage.waits(visitor);
        stage.now += 10 * MS;
        stage.leaves(places.remove(0));
        places.push(stage.is_served(at));
    }
}

#[test]
fn those_who_wait_for_less_than_what_is_reserved_are_not_ahead_of_the_important() {
    let mut stage = stage(RoomSettings {
        reserves: vec![(Priority::Critical, 0.5)],
        ..settings(2, 50)
    });
    let critical = of(Priority::Critical);
    let mut places = vec![stage.enters(&critical), stage.enters(&critical)];
    learn(&mut stage, &mut places, &critical);
    let _normal: Vec<_> = (0..30)
        .map(|_| stage.waits(&of(Priority::Normal)))
        .collect();

    // 10 ms until one has ended, and 20 ms for the call.
    let in_time = within(&stage, critical, 31 * MS);
    let at = stage.waits(&in_time);
    stage.now += 10 * MS;
    stage.leaves(places.remove(0));
    stage.is_served(at);

    // Two have to end for one who leaves a slot free.
    let normal = within(&stage, of(Priority::Normal), 351 * MS);
    assert!(matches!(stage.visit(&normal), Standing::Waiting { .. }));
}

#[test]
fn those_who_borrow_are_not_ahead_of_the_owner() {
    let mut stage = stage(RoomSettings {
        partitions: vec![("web".into(), 0.5)],
        ..settings(2, 50)
    });
    let mut places = vec![
        stage.enters(&Visitor::default()),
        stage.enters(&Visitor::default()),
    ];
    learn(&mut stage, &mut places, &Visitor::default());
    let _others: Vec<_> = (0..30).map(|_| stage.waits(&Visitor::default())).collect();
    let web = Visitor {
        class: Class {
            partition: stage.room.partition("web"),
            ..Class::default()
        },
        ..Visitor::default()
    };

    let in_time = within(&stage, web, 31 * MS);
    let at = stage.waits(&in_time);
    // The second is above the share, behind all others.
    assert_eq!(stage.refuses(&in_time).0, Reason::DeadlineExceeded);

    stage.now += 10 * MS;
    stage.leaves(places.remove(0));
    stage.is_served(at);
}

#[test]
fn under_a_lowered_limit_more_than_one_has_to_end_first() {
    let mut stage = stage(settings(4, 50));
    let mut places: Vec<_> = (0..4).map(|_| stage.enters(&Visitor::default())).collect();
    learn(&mut stage, &mut places, &Visitor::default());
    stage.room.resize(1, || stage.now);

    // Four have to end, and then it takes 40 ms.
    let too_short = within(&stage, Visitor::default(), 75 * MS);
    assert_eq!(stage.refuses(&too_short).0, Reason::DeadlineExceeded);
    stage.waits(&within(&stage, Visitor::default(), 85 * MS));
}

#[test]
fn only_those_are_ahead_who_are_served_first() {
    for (order, waits) in [
        (Order::Fifo, [false, false]),
        (Order::Priority, [true, false]),
        (Order::Lifo, [true, true]),
    ] {
        let mut stage = stage(RoomSettings {
            order,
            ..settings(2, 50)
        });
        let normal = of(Priority::Normal);
        let mut places = vec![stage.enters(&normal), stage.enters(&normal)];
        learn(&mut stage, &mut places, &normal);
        let _others: Vec<_> = (0..30).map(|_| stage.waits(&normal)).collect();

        for (priority, waits) in [Priority::High, Priority::Low].into_iter().zip(waits) {
            let in_time = within(&stage, of(priority), 31 * MS);
            let standing = stage.visit(&in_time);
            let has_to_wait = matches!(standing, Standing::Waiting { .. });
            assert_eq!(has_to_wait, waits, "{order:?} {priority:?}");
        }
    }
}
