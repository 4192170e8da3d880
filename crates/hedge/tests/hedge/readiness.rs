use std::task::Poll;

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::Service;

use crate::stage::{DELAY, stage};

#[tokio::test(start_paused = true)]
async fn it_is_ready_when_the_primary_is() {
    let mut stage = stage(|it| it);
    stage.mock.allow(0);
    let mut ready = spawn(());
    let poll = |ready: &mut tokio_test::task::Spawn<()>, stage: &mut crate::stage::Stage| {
        ready.enter(|cx, _| stage.service.poll_ready(cx))
    };
    assert!(poll(&mut ready, &mut stage).is_pending());

    stage.mock.allow(1);

    assert!(ready.is_woken());
    assert!(matches!(poll(&mut ready, &mut stage), Poll::Ready(Ok(()))));
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_comes_up_as_it_is() {
    let mut stage = stage(|it| it);
    stage.mock.send_error("gone");

    let ready = spawn(()).enter(|cx, _| stage.service.poll_ready(cx));

    assert_eq!(assert_ready_err!(ready).to_string(), "gone");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_service_is_not_ready_holds_nobody_up() {
    let mut stage = stage(|it| it);
    let (mut call, primary) = stage.start();
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());

    primary.succeeds();

    assert!(call.is_woken());
    assert_ready_ok!(call.poll());
    assert_eq!(stage.hedge.snapshot().sent, 0);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_is_sent_when_its_service_becomes_ready() {
    let mut stage = stage(|it| it);
    let (mut call, _primary) = stage.start();
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());
    stage.no_attempt();

    stage.mock.allow(1);
    assert!(call.is_woken());
    assert_pending!(call.poll());

    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_fails_while_the_hedge_is_not_ready_is_the_answer() {
    let mut stage = stage(|it| it);
    let (mut call, primary) = stage.start();
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());

    primary.breaks();

    assert_ready_err!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_service_breaks_is_not_sent_and_the_primary_goes_on() {
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, primary) = stage.start();
    stage.mock.send_error("gone");
    advance(DELAY).await;
    assert_pending!(call.poll());
    advance(100 * DELAY).await;
    assert_pending!(call.poll());

    primary.succeeds();

    assert_ready_ok!(call.poll());
    assert_eq!(stage.hedge.snapshot().sent, 0);
}
