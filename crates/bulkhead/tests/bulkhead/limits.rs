//! How many calls are in flight.

use std::time::Duration;

use watertight_bulkhead::BulkheadLayer;
use watertight_core::{Outcome, Reason};

use crate::stage::{SECOND, stage};

#[tokio::test(start_paused = true)]
async fn so_many_calls_are_in_flight_and_no_more() {
    let mut stage = stage(2, |it| it);
    let first = stage.start("pay");
    let second = stage.start("pay");

    let refusal = stage.refusal("pay");
    assert_eq!(refusal.reason(), Reason::BulkheadFull);
    assert_eq!(refusal.name(), "payments");

    first.succeeds();
    let third = stage.start("pay");
    stage.finds_it_full("pay");
    second.fails();
    third.breaks();
    let _two = stage.start_all(2);
    stage.finds_it_full("pay");
}

#[tokio::test(start_paused = true)]
async fn four_run_ten_wait_and_the_fifteenth_is_refused_at_once() {
    let mut stage = stage(4, |it| it.max_queue(10).max_wait(SECOND));
    let _running = stage.start_all(4);
    let _waiting: Vec<_> = (0..10).map(|_| stage.wait("pay")).collect();

    stage.finds_it_full("pay");

    let seen = stage.bulkhead.snapshot();
    assert_eq!((seen.in_flight, seen.queued), (4, 10));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_bypasses_is_always_admitted_and_holds_no_slot() {
    let mut stage = stage(1, |it| it.bypass(|request: &&str| *request == "admin"));
    let _running = stage.start("pay");
    stage.finds_it_full("pay");

    let check = stage.start("admin");

    assert_eq!(stage.bulkhead.in_flight(), 1);
    check.succeeds();
    assert_eq!(stage.bulkhead.in_flight(), 1);
    assert_eq!(stage.counted().calls.success, 0);
    stage.finds_it_full("pay");
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_by_how_they_end() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(SECOND));
    stage.start("pay").succeeds();
    stage.start("pay").fails();
    stage.start("pay").breaks();
    stage.start("pay").ends(Outcome::Ignored);
    drop(stage.start("pay"));

    let _running = stage.start("pay");
    let waiting = stage.wait("pay");
    stage.finds_it_full("pay");
    tokio::time::advance(SECOND).await;
    stage.is_refused(waiting);

    let counted = stage.counted();
    let calls = counted.calls;
    assert_eq!((calls.success, calls.failure), (1, 2));
    assert_eq!((calls.ignored, calls.cancelled), (1, 1));
    assert_eq!(calls.rejected, 2);
    let refused = |reason| {
        let mut rejections = counted.rejections.iter();
        rejections.find(|it| it.reason == reason).unwrap().count
    };
    assert_eq!(refused(Reason::BulkheadFull), 1);
    assert_eq!(refused(Reason::QueueTimeout), 1);
    assert_eq!(refused(Reason::DeadlineExceeded), 0);
}

#[test]
#[should_panic = "`limit` is 0, but must be at least 1"]
fn a_limit_of_nothing_is_refused() {
    let _ = BulkheadLayer::new("payments", 0);
}

#[test]
fn a_queue_needs_a_wait_and_a_wait_a_queue() {
    let builder = || BulkheadLayer::builder("payments", 1);

    let error = builder().max_queue(1).try_build().unwrap_err();
    assert_eq!(error.field(), "max_wait");
    let error = builder().max_wait(Duration::MAX).try_build().unwrap_err();
    assert_eq!(error.field(), "max_queue");
}
