//! Who is asked whether it is ready, and who is called.

#![allow(
    clippy::redundant_clone,
    reason = "what a clone does is what is tested"
)]

use std::time::Duration;

use tokio::time::{Instant, advance};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use tower_test::mock::{self, Mock};
use watertight_bulkhead::BulkheadLayer;
use watertight_core::{Context, Outcome, Reason, Rejection};
use watertight_metrics::Registry;

use crate::stage::{MS, SECOND, stage};

fn layer() -> BulkheadLayer {
    BulkheadLayer::builder("payments", 1)
        .max_queue(5)
        .max_wait(SECOND)
        .registry(&Registry::new())
        .build()
}

#[tokio::test(start_paused = true)]
async fn is_ready_when_the_inner_service_is() {
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer().layer(mock);
    backend.allow(0);
    let mut ready = spawn(());
    assert_pending!(ready.enter(|cx, _| service.poll_ready(cx)));

    backend.allow(1);

    assert!(ready.is_woken());
    assert_ready_ok!(ready.enter(|cx, _| service.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_and_idle_holds_no_slot() {
    let layer = layer();
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut idle: Vec<_> = (0..9).map(|_| layer.layer(mock.clone())).collect();
    for service in &mut idle {
        assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    }

    let mut call = spawn(idle[8].call(()));

    assert_pending!(call.poll());
    assert_ready!(spawn(()).enter(|_, _| backend.poll_request())).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_passes() {
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer().layer(mock);
    backend.send_error("no route to host");

    let error = assert_ready_err!(spawn(()).enter(|cx, _| service.poll_ready(cx)));

    assert_eq!(error.to_string(), "no route to host");
}

/// The service that was ready is left to the next call: the one that waits drives a clone to
/// readiness, and only when it has its slot.
#[tokio::test(start_paused = true)]
async fn a_call_that_waits_reserves_nothing_below() {
    let mut stage = stage(1, |it| it.max_queue(5).max_wait(SECOND));
    stage.backend.allow(2);
    let running = stage.start("first");
    let mut waiting = stage.wait("second");
    // One is left, and it is not the waiting one's.
    stage.backend.allow(0);
    running.succeeds();

    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());
    assert!(stage.poll_backend().is_pending(), "it was not ready");
    assert_eq!(stage.bulkhead.in_flight(), 1, "it has its slot");
    stage.backend.allow(1);

    assert!(waiting.is_woken());
    stage.reaches_backend(waiting, "second").succeeds();
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_ends_a_call_that_has_waited() {
    let mut stage = stage(1, |it| it.max_queue(5).max_wait(SECOND));
    let running = stage.start("first");
    let mut waiting = stage.wait("second");
    stage.backend.allow(0);
    running.ends(Outcome::Success);
    stage.backend.send_error("no route to host");

    let error = assert_ready_err!(waiting.poll());

    assert_eq!(error.to_string(), "no route to host");
    assert_eq!(stage.bulkhead.in_flight(), 0);
    assert_eq!(stage.counted().calls.failure, 1);
}

/// Waits for a slot, and then for a service that is never ready, with this deadline.
async fn waits_in_vain(deadline: Option<Duration>) -> (Duration, Reason) {
    let mut stage = stage(1, |it| it.max_queue(5).max_wait(SECOND));
    let start = Instant::now();
    let context = Context {
        deadline: deadline.map(|time| start + time),
        ..Context::default()
    };
    let running = stage.start("first");
    let mut waiting = context.enter(|| stage.wait("second"));
    stage.backend.allow(0);
    advance(400 * MS).await;
    running.succeeds();
    assert_pending!(waiting.poll());
    assert_eq!(stage.bulkhead.in_flight(), 1, "it has its slot");

    while !waiting.is_woken() {
        assert!(Instant::now() - start < 10 * SECOND, "it waits for ever");
        advance(MS).await;
    }
    let error = assert_ready_err!(waiting.poll());

    assert_eq!(stage.bulkhead.in_flight(), 0);
    let calls = stage.counted().calls;
    assert_eq!((calls.success, calls.rejected, calls.cancelled), (1, 1, 0));
    (
        Instant::now() - start,
        Rejection::find(&*error).unwrap().reason(),
    )
}

#[tokio::test(start_paused = true)]
async fn who_has_a_slot_does_not_wait_for_ever_for_the_service_either() {
    let late = (SECOND, Reason::QueueTimeout);
    assert_eq!(waits_in_vain(None).await, late);
    assert_eq!(waits_in_vain(Some(2 * SECOND)).await, late);
    let too_late = (500 * MS, Reason::DeadlineExceeded);
    assert_eq!(waits_in_vain(Some(500 * MS)).await, too_late);
}

#[tokio::test(start_paused = true)]
async fn all_that_a_layer_makes_is_one_bulkhead() {
    let layer = BulkheadLayer::builder("payments", 2)
        .registry(&Registry::new())
        .build();
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut first = layer.layer(mock.clone());
    let mut second = layer.clone().layer(mock);
    let mut calls = Vec::new();
    for service in [&mut first, &mut second] {
        assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
        let mut call = spawn(service.call(()));
        assert_pending!(call.poll());
        calls.push(call);
        assert_ready!(spawn(()).enter(|_, _| backend.poll_request())).unwrap();
    }

    let mut third = first.clone();
    assert_ready_ok!(spawn(()).enter(|cx, _| third.poll_ready(cx)));
    let error = assert_ready_err!(spawn(third.call(())).poll());

    let refusal = Rejection::find(&*error).unwrap();
    assert_eq!(refusal.reason(), Reason::BulkheadFull);
}
