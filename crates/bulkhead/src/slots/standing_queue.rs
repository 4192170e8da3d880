//! What a room does whose order is CoDel.

use std::time::Duration;

use watertight_core::Reason;

use super::RoomSettings;
use super::Visitor;
use super::permit::Place;
use super::stage::{MS, Stage, settings, stage};
use super::ticket::Standing;
use crate::Order;

/// One slot, and who has it.
fn with_one_slot() -> (Stage, Place) {
    let stage = stage(RoomSettings {
        order: Order::CoDel,
        ..settings(1, 20)
    });
    let place = stage.enters(&Visitor::default());
    (stage, place)
}

fn waits<const N: usize>(stage: &Stage) -> [u32; N] {
    [(); N].map(|()| stage.waits(&Visitor::default()))
}

fn time_left(stage: &Stage, at: u32) -> Option<Duration> {
    match stage.room.expire(at, stage.now) {
        Standing::Waiting { until, .. } => until.map(|until| until - stage.now),
        _ => None,
    }
}

#[test]
fn a_burst_is_served_in_turn() {
    let (mut stage, mut place) = with_one_slot();

    // Ten calls of 10 ms each: the last has waited for 100 ms when it is served.
    for at in waits::<10>(&stage) {
        stage.now += 10 * MS;
        stage.leaves(place);
        place = stage.is_served(at);
    }
}

#[test]
fn who_comes_last_is_served_first_once_the_queue_stands() {
    let (mut stage, place) = with_one_slot();
    let [old, older] = waits(&stage);

    // 5 ms until the first is late, and 100 ms more.
    stage.now += 104 * MS;
    let [last] = waits(&stage);
    stage.now += MS;
    let [newest] = waits(&stage);

    assert_eq!(stage.expires(old), Some(Reason::QueueTimeout));
    assert_eq!(stage.expires(older), Some(Reason::QueueTimeout));
    stage.leaves(place);
    let place = stage.is_served(newest);
    stage.leaves(place);
    stage.is_served(last);
}

#[test]
fn nobody_waits_for_long_in_a_queue_that_stands_but_the_last() {
    let (mut stage, place) = with_one_slot();
    let [_old] = waits(&stage);
    stage.now += 105 * MS;
    let [short, last] = waits(&stage);
    assert_eq!(time_left(&stage, short), Some(5 * MS));

    stage.now += 5 * MS;
    assert_eq!(stage.expires(short), Some(Reason::QueueTimeout));
    assert_eq!(time_left(&stage, last), Some(995 * MS));

    stage.now += 90 * MS;
    stage.leaves(place);
    stage.is_served(last);
}

#[test]
fn a_queue_that_has_drained_is_served_in_turn_again() {
    let (mut stage, place) = with_one_slot();
    let [old] = waits(&stage);
    stage.now += 105 * MS;
    let [newest] = waits(&stage);
    stage.leaves(place);
    let place = stage.is_served(newest);
    stage.leaves(place);
    let mut place = stage.is_served(old);

    for at in waits::<3>(&stage) {
        stage.now += 10 * MS;
        stage.leaves(place);
        place = stage.is_served(at);
    }
}

#[test]
fn a_queue_does_not_stand_while_somebody_is_served_soon() {
    let (mut stage, mut place) = with_one_slot();
    let [mut at] = waits(&stage);

    // Always one waits, for 4 ms each.
    for _ in 0..100 {
        let [next] = {
            stage.now += 2 * MS;
            waits(&stage)
        };
        stage.now += 2 * MS;
        stage.leaves(place);
        place = stage.is_served(at);
        at = next;
    }
    let [newer] = waits(&stage);

    stage.leaves(place);
    stage.is_served(at);
    assert!(stage.still_waits(newer));
}
