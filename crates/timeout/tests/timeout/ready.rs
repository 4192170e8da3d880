//! Waiting for the inner service to become ready.

use std::task::Poll;

use tokio::time::advance;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_ok};
use tower::Service;
use watertight_core::{Mode, Reason};

use crate::stage::{LIMIT, MS, Stage, reason, stage, stage_of};

/// Polls the readiness of a stage, whose backend is ready when it is allowed to.
fn poll_ready(stage: &mut Stage, waiter: &mut Spawn<()>) -> Poll<Result<(), tower::BoxError>> {
    waiter.enter(|cx, _| stage.service.poll_ready(cx))
}

fn impatient() -> Stage {
    let mut stage = stage_of(|it| it.ready(LIMIT));
    stage.mock.allow(0);
    stage
}

#[tokio::test(start_paused = true)]
async fn is_waited_for_as_long_as_it_takes_unless_told_otherwise() {
    let mut stage = stage();
    stage.mock.allow(0);
    let mut waiter = spawn(());

    assert_pending!(poll_ready(&mut stage, &mut waiter));
    advance(1_000 * LIMIT).await;
    assert_pending!(poll_ready(&mut stage, &mut waiter));
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_refuses_the_next_call() {
    let mut stage = impatient();
    let mut waiter = spawn(());
    assert_pending!(poll_ready(&mut stage, &mut waiter));
    advance(LIMIT - MS).await;
    assert_pending!(poll_ready(&mut stage, &mut waiter));

    advance(2 * MS).await;
    assert!(waiter.is_woken());
    assert_ready_ok!(poll_ready(&mut stage, &mut waiter));
    // Even if it has become ready meanwhile: nobody has asked this instance.
    stage.mock.allow(1);
    assert_ready_ok!(poll_ready(&mut stage, &mut waiter));
    let mut refused = spawn(stage.service.call("pay"));

    assert_eq!(reason(&mut refused), Reason::NotReady);
    assert_eq!(stage.timeout.snapshot().not_ready, 1);
    // The next wait is a new one.
    assert_ready_ok!(poll_ready(&mut stage, &mut waiter));
    let mut call = spawn(stage.service.call("pay"));
    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn each_wait_has_the_whole_time() {
    let mut stage = impatient();
    let mut waiter = spawn(());
    for _ in 0..3 {
        stage.mock.allow(0);
        assert_pending!(poll_ready(&mut stage, &mut waiter));
        advance(LIMIT - MS).await;
        assert_pending!(poll_ready(&mut stage, &mut waiter));

        stage.mock.allow(1);
        assert_ready_ok!(poll_ready(&mut stage, &mut waiter));
        let mut call = spawn(stage.service.call("pay"));
        assert_pending!(call.poll());
        stage.asked().send_response("paid");
        assert_ready_ok!(call.poll());
    }
    assert_eq!(stage.timeout.snapshot().not_ready, 0);
}

#[tokio::test(start_paused = true)]
async fn a_clone_has_not_waited_yet() {
    let mut stage = impatient();
    let mut waiter = spawn(());
    assert_pending!(poll_ready(&mut stage, &mut waiter));
    advance(LIMIT + MS).await;
    assert_ready_ok!(poll_ready(&mut stage, &mut waiter));

    let mut clone = stage.service.clone();

    assert_pending!(spawn(()).enter(|cx, _| clone.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn in_shadow_it_is_counted_once_and_waited_on() {
    let mut stage = impatient();
    stage.timeout.set_mode(Mode::Shadow);
    let mut waiter = spawn(());
    assert_pending!(poll_ready(&mut stage, &mut waiter));

    for _ in 0..3 {
        advance(LIMIT + MS).await;
        assert_pending!(poll_ready(&mut stage, &mut waiter));
    }
    assert_eq!(stage.timeout.snapshot().in_shadow, 1);

    stage.mock.allow(1);
    assert_ready_ok!(poll_ready(&mut stage, &mut waiter));
}

#[tokio::test(start_paused = true)]
async fn when_off_it_is_not_counted_either() {
    let mut stage = impatient();
    stage.timeout.set_mode(Mode::Off);
    let mut waiter = spawn(());
    assert_pending!(poll_ready(&mut stage, &mut waiter));

    advance(LIMIT + MS).await;

    assert_pending!(poll_ready(&mut stage, &mut waiter));
    let counted = stage.timeout.snapshot();
    assert_eq!((counted.in_shadow, counted.not_ready), (0, 0));
}
