//! What rooms do, step by step.

use watertight_core::{Priority, Reason};

use super::stage::{MS, Stage, of, settings, stage};
use super::{RoomSettings, Visitor};
use crate::Order;

#[test]
fn as_many_enter_as_there_are_slots() {
    for limit in [1, 2, 100] {
        let stage = stage(settings(limit, 0));
        let normal = Visitor::default();

        let mut places: Vec<_> = (0..limit).map(|_| stage.enters(&normal)).collect();
        assert_eq!(stage.refuses(&normal), (Reason::BulkheadFull, None));
        assert_eq!(stage.room.in_flight(), limit);

        stage.leaves(places.pop().unwrap());
        stage.enters(&normal);
        assert_eq!(stage.refuses(&normal).0, Reason::BulkheadFull);
    }
}

#[test]
fn whoever_only_looks_for_a_slot_finds_the_last() {
    let stage = stage(settings(100, 5));
    let class = Visitor::default().class;

    let places = (0..100).map(|stripe| stage.room.take(stripe, class));
    let places: Vec<_> = places.collect::<Option<_>>().unwrap();
    assert!(stage.room.take(0, class).is_none());

    let at = stage.waits(&Visitor::default());
    for place in places {
        stage.leaves(place);
    }
    stage.is_served(at);
    assert!(stage.room.take(0, class).is_some());
}

#[test]
fn a_slot_is_found_that_is_by_another_thread() {
    let stage = stage(settings(100, 0));
    let class = Visitor::default().class;
    let mut places: Vec<_> = (0..100).filter_map(|_| stage.room.take(0, class)).collect();

    stage.leaves(places.pop().unwrap());

    assert!(stage.room.take(1, class).is_some());
    assert!(stage.room.take(0, class).is_none());
}

#[test]
fn a_slot_goes_to_the_one_who_waits_and_not_to_who_comes() {
    let stage = stage(settings(1, 5));
    let place = stage.enters(&Visitor::default());
    let (first, second) = (
        stage.waits(&Visitor::default()),
        stage.waits(&Visitor::default()),
    );
    assert_eq!(stage.room.queued(), 2);

    stage.leaves(place);

    let third = stage.waits(&Visitor::default());
    let place = stage.is_served(first);
    assert!(stage.still_waits(second) && stage.still_waits(third));
    stage.leaves(place);
    stage.is_served(second);
}

#[test]
fn the_queue_is_bounded_and_who_finds_it_full_waits_for_nothing() {
    let stage = stage(settings(4, 10));
    for _ in 0..4 {
        stage.enters(&Visitor::default());
    }
    for _ in 0..10 {
        stage.waits(&Visitor::default());
    }

    assert_eq!(stage.refuses(&Visitor::default()).0, Reason::BulkheadFull);
}

#[test]
fn who_has_waited_for_too_long_is_refused() {
    let mut stage = stage(settings(1, 5));
    let place = stage.enters(&Visitor::default());
    let at = stage.waits(&Visitor::default());

    stage.now += 999 * MS;
    assert_eq!(stage.expires(at), None);
    stage.now += MS;
    assert_eq!(stage.expires(at), Some(Reason::QueueTimeout));

    stage.leaves(place);
    assert_eq!((stage.room.queued(), stage.room.in_flight()), (0, 0));
}

#[test]
fn a_higher_limit_lets_waiters_in_at_once() {
    let stage = stage(settings(4, 5));
    for _ in 0..4 {
        stage.enters(&Visitor::default());
    }
    let at = stage.waits(&Visitor::default());

    stage.room.resize(5, || stage.now);

    stage.is_served(at);
    stage.waits(&Visitor::default());
}

#[test]
fn under_a_lower_limit_who_leaves_makes_no_room_until_it_is_reached() {
    let stage = stage(settings(4, 5));
    let mut places: Vec<_> = (0..4).map(|_| stage.enters(&Visitor::default())).collect();
    let at = stage.waits(&Visitor::default());

    stage.room.resize(2, || stage.now);
    assert_eq!(stage.room.in_flight(), 4);

    for _ in 0..2 {
        stage.leaves(places.pop().unwrap());
        assert!(stage.still_waits(at));
    }
    stage.leaves(places.pop().unwrap());
    stage.is_served(at);
    assert_eq!((stage.room.in_flight(), stage.room.limit()), (2, 2));
}

#[test]
fn the_slot_of_a_waiter_who_went_when_it_was_granted_goes_to_the_next() {
    let stage = stage(settings(1, 5));
    let place = stage.enters(&Visitor::default());
    let [one, two, three] = [(); 3].map(|()| stage.waits(&Visitor::default()));

    stage.room.abandon(two, 0, || stage.now);
    stage.leaves(place);
    stage.room.abandon(one, 0, || stage.now);

    stage.is_served(three);
    assert_eq!((stage.room.queued(), stage.room.in_flight()), (0, 1));
}

#[test]
fn newest_first_is_lifo() {
    let stage = stage(RoomSettings {
        order: Order::Lifo,
        ..settings(1, 5)
    });
    let place = stage.enters(&Visitor::default());
    let [one, two] = [(); 2].map(|()| stage.waits(&Visitor::default()));

    stage.leaves(place);
    assert!(stage.still_waits(one));
    let place = stage.is_served(two);
    stage.leaves(place);
    stage.is_served(one);
}

#[test]
fn the_important_are_served_first_and_equals_in_turn() {
    let stage = stage(RoomSettings {
        order: Order::Priority,
        ..settings(1, 5)
    });
    let mut place = stage.enters(&Visitor::default());
    let came = [
        Priority::Low,
        Priority::High,
        Priority::Normal,
        Priority::High,
    ];
    let [low, high, normal, high_too] = came.map(|priority| stage.waits(&of(priority)));

    for at in [high, high_too, normal, low] {
        stage.leaves(place);
        place = stage.is_served(at);
    }
}

#[test]
fn what_is_reserved_is_for_the_important() {
    let stage = stage(RoomSettings {
        reserves: vec![(Priority::High, 0.2)],
        ..settings(10, 0)
    });

    for _ in 0..8 {
        stage.enters(&of(Priority::Normal));
    }
    assert_eq!(stage.refuses(&of(Priority::Normal)).0, Reason::BulkheadFull);
    stage.enters(&of(Priority::Critical));
    stage.enters(&of(Priority::High));
    assert_eq!(
        stage.refuses(&of(Priority::Critical)).0,
        Reason::BulkheadFull
    );
}

#[test]
fn the_important_pass_those_who_may_not_have_what_is_reserved() {
    let stage = stage(RoomSettings {
        reserves: vec![(Priority::Critical, 0.5)],
        ..settings(2, 5)
    });
    let place = stage.enters(&of(Priority::Normal));
    let at = stage.waits(&of(Priority::Normal));

    let important = stage.enters(&of(Priority::Critical));
    stage.leaves(important);
    assert!(stage.still_waits(at));

    stage.leaves(place);
    stage.is_served(at);
}

/// Two partitions of one slot each, one of which has taken both.
#[test]
fn what_is_lent_comes_back_to_its_owner_first() {
    let stage = stage(RoomSettings {
        partitions: vec![("web".to_owned(), 0.5), ("batch".to_owned(), 0.5)],
        ..settings(2, 5)
    });
    let [web, batch] = ["web", "batch"].map(|name| {
        let mut visitor = Visitor::default();
        visitor.class.partition = stage.room.partition(name);
        assert!(visitor.class.partition.is_some());
        visitor
    });
    let places = [(); 2].map(|()| stage.enters(&batch));
    let (greedy, owner) = (stage.waits(&batch), stage.waits(&web));

    let figures = stage.room.partitions();
    let figures = figures.iter().map(|it| (it.in_flight, it.queued, it.owned));
    assert_eq!(figures.collect::<Vec<_>>(), [(0, 1, 1), (2, 1, 1)]);

    let [one, two] = places;
    stage.leaves(one);
    assert!(stage.still_waits(greedy));
    let place = stage.is_served(owner);

    // What is left to the batch is its own, and what the web leaves is lent again.
    stage.leaves(two);
    stage.is_served(greedy);
    stage.leaves(place);
    stage.enters(&batch);
    assert_eq!(stage.room.partitions()[1].in_flight, 2);
    assert_eq!(stage.room.partition("unheard of"), None);
}

#[test]
fn a_partition_that_is_configured_no_more_owns_nothing() {
    let stage = stage(RoomSettings {
        partitions: vec![("web".to_owned(), 0.5)],
        ..settings(4, 5)
    });
    let mut web = Visitor::default();
    web.class.partition = stage.room.partition("web");
    let place = stage.enters(&web);

    let changed = RoomSettings {
        partitions: vec![("batch".to_owned(), 1.0)],
        ..settings(4, 5)
    };
    stage.room.reconfigure(changed, || stage.now);

    let owned = |stage: &Stage| {
        let figures = stage.room.partitions();
        figures.iter().map(|it| it.owned).collect::<Vec<_>>()
    };
    assert_eq!(owned(&stage), [0, 4]);
    stage.leaves(place);
    assert_eq!(stage.room.partitions()[0].in_flight, 0);
}

/// Two slots, of which one comes free every 10 ms: each call takes 20 ms.
#[test]
fn who_cannot_be_served_before_his_deadline_is_refused_when_he_comes() {
    let mut stage = stage(settings(2, 50));
    let mut places = vec![
        stage.enters(&Visitor::default()),
        stage.enters(&Visitor::default()),
    ];
    let waiting: Vec<_> = (0..20).map(|_| stage.waits(&Visitor::default())).collect();
    for at in &waiting[..18] {
        stage.now += 10 * MS;
        stage.leaves(places.remove(0));
        places.push(stage.is_served(*at));
    }

    // 30 ms until it is his turn, and 20 ms for the call.
    let until = |time| Visitor {
        deadline: Some(stage.now + time),
        ..Visitor::default()
    };
    let (reason, after) = stage.refuses(&until(48 * MS));
    assert_eq!(reason, Reason::DeadlineExceeded);
    assert_eq!(after.unwrap().as_millis(), 2);
    let at = stage.waits(&until(51 * MS));
    assert_eq!(stage.refuses(&until(MS - MS)).0, Reason::DeadlineExceeded);

    // If it takes longer after all, he is not served, and the next one is.
    let next = stage.waits(&Visitor::default());
    for at in &waiting[18..] {
        stage.leaves(places.remove(0));
        places.push(stage.is_served(*at));
    }
    stage.now += 51 * MS;
    stage.leaves(places.remove(0));
    assert_eq!(stage.expires(at), Some(Reason::DeadlineExceeded));
    stage.is_served(next);
}

#[test]
fn who_finds_the_queue_full_is_told_when_the_next_slot_comes_free() {
    let mut stage = stage(settings(1, 1));
    let mut place = stage.enters(&Visitor::default());
    for _ in 0..3 {
        let mut at = stage.waits(&Visitor::default());
        for _ in 0..3 {
            stage.now += 10 * MS;
            stage.leaves(place);
            place = stage.is_served(at);
            at = stage.waits(&Visitor::default());
        }
        stage.room.abandon(at, 0, || stage.now);
    }
    stage.waits(&Visitor::default());

    let (reason, after) = stage.refuses(&Visitor::default());

    assert_eq!(reason, Reason::BulkheadFull);
    assert_eq!(after, Some(10 * MS));
}
