//! Who is asked whether it is ready, and who is called.

#![allow(
    clippy::redundant_clone,
    reason = "what a clone does is what is tested"
)]

use std::time::Duration;

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use tower_test::mock::{self, Mock};
use watertight_breaker::{BreakerLayer, State};
use watertight_core::{Reason, Rejection};
use watertight_metrics::Registry;

use crate::stage::SECOND;

fn layer() -> BreakerLayer {
    BreakerLayer::builder("payments")
        .consecutive_failures(2)
        .open_for(SECOND)
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
async fn an_open_breaker_is_ready_without_asking_and_then_refuses() {
    let layer = layer();
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer.layer(mock);
    backend.allow(0);
    layer.handle().force_open();
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));

    // It has promised to refuse, and the inner service is not ready.
    layer.handle().release();

    let mut call = spawn(service.call(()));
    let error = assert_ready_err!(call.poll());
    assert_eq!(
        Rejection::find(&*error).unwrap().reason(),
        Reason::CircuitOpen
    );
    assert_pending!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn a_clone_has_promised_nothing() {
    let layer = layer();
    let (mock, _backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer.layer(mock);
    layer.handle().force_open();
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    layer.handle().release();

    let mut clone = service.clone();

    assert_ready_ok!(spawn(()).enter(|cx, _| clone.poll_ready(cx)));
    assert_pending!(spawn(clone.call(())).poll());
}

#[tokio::test(start_paused = true)]
async fn is_ready_to_refuse_while_all_places_are_taken() {
    let layer = BreakerLayer::builder("payments")
        .half_open_calls(1)
        .registry(&Registry::new())
        .build();
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer.layer(mock);
    layer.handle().open_for(SECOND);
    advance(SECOND).await;
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let mut probe = spawn(service.call(()));
    assert_pending!(probe.poll());
    backend.allow(0);

    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    drop(probe);

    let error = assert_ready_err!(spawn(service.call(())).poll());
    assert!(Rejection::find(&*error).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_passes_and_is_one_failure() {
    let layer = layer();
    for failures in 1..=2 {
        assert_eq!(layer.handle().state(), State::Closed);
        let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
        let mut service = layer.layer(mock);
        backend.send_error("no route to host");

        let error = assert_ready_err!(spawn(()).enter(|cx, _| service.poll_ready(cx)));

        assert_eq!(error.to_string(), "no route to host");
        let seen = layer.handle().snapshot().standing.consecutive_failures;
        assert_eq!(seen, failures);
    }
    assert_eq!(layer.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_fails_the_half_open() {
    let layer = layer();
    layer.handle().open_for(SECOND);
    advance(SECOND).await;
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer.layer(mock);
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let mut probe = spawn(service.call(()));
    assert_pending!(probe.poll());
    let (_, _answer) = assert_ready!(spawn(()).enter(|_, _| backend.poll_request())).unwrap();
    backend.send_error("no route to host");

    assert_ready_err!(spawn(()).enter(|cx, _| service.poll_ready(cx)));

    assert_eq!(layer.handle().state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_after_the_open_time_opens_it_again() {
    let layer = layer();
    layer.handle().open_for(SECOND);
    for _ in 0..3 {
        advance(SECOND).await;
        let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
        let mut service = layer.layer(mock);
        backend.send_error("no route to host");

        assert_ready_err!(spawn(()).enter(|cx, _| service.poll_ready(cx)));

        assert_eq!(layer.handle().state(), State::Open);
        // It refuses, and does not ask what has failed.
        assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    }
    assert_eq!(layer.handle().snapshot().failed_recoveries, 3);
}

#[tokio::test(start_paused = true)]
async fn probes_that_hang_for_too_long_refuse_without_asking() {
    let layer = BreakerLayer::builder("payments")
        .half_open_calls(1)
        .half_open_timeout(2 * SECOND)
        .open_for(10 * SECOND)
        .registry(&Registry::new())
        .build();
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut service = layer.layer(mock);
    layer.handle().open_for(SECOND);
    advance(SECOND).await;
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let _hangs = service.call(());
    backend.allow(0);

    advance(3 * SECOND).await;

    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let error = assert_ready_err!(spawn(service.call(())).poll());
    let refusal = Rejection::find(&*error).unwrap();
    assert_eq!(refusal.retry_after(), Some(9 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_rejection_from_below_at_readiness_does_not_vote() {
    let layer = layer();
    for _ in 0..5 {
        let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
        let mut service = layer.layer(mock);
        backend.send_error(Rejection::new(Reason::BulkheadFull, "below".into()));

        assert_ready_err!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    }

    assert_eq!(layer.handle().state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn all_that_a_layer_makes_is_one_breaker() {
    let layer = layer();
    let (mock, mut backend): (Mock<(), ()>, _) = mock::pair();
    let mut first = layer.layer(mock.clone());
    let mut second = layer.clone().layer(mock);
    for service in [&mut first, &mut second] {
        assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
        let mut call = spawn(service.call(()));
        assert_pending!(call.poll());
        let (_, answer) = assert_ready!(spawn(()).enter(|_, _| backend.poll_request())).unwrap();
        answer.send_error("broken");
        assert_ready_err!(call.poll());
    }

    let mut third = first.clone();
    assert_ready_ok!(spawn(()).enter(|cx, _| third.poll_ready(cx)));
    let error = assert_ready_err!(spawn(third.call(())).poll());

    let refusal = Rejection::find(&*error).unwrap();
    assert_eq!(refusal.retry_after(), Some(Duration::from_secs(1)));
}
