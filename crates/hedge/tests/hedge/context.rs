use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_ok};
use watertight_core::{Context, IdempotencyKey, Priority};

use crate::stage::{DELAY, MS, stage};

#[tokio::test(start_paused = true)]
async fn each_hedge_is_an_attempt_of_the_same_call() {
    let context = Context {
        deadline: Some(Instant::now() + 100 * DELAY),
        priority: Priority::High,
        attempt: 3,
        upstream_attempt: 0,
        idempotency_key: IdempotencyKey::new("order-7").ok(),
        ..Context::default()
    };
    let mut stage = stage(|it| it.max_hedges(2));

    // It is polled where there is no context: the call is what counts.
    let mut call = context.clone().enter(|| stage.call());
    for _ in 0..3 {
        assert_pending!(call.poll());
        advance(DELAY).await;
    }

    let attempt = |attempt| Context {
        attempt,
        ..context.clone()
    };
    assert_eq!(
        stage.backend.contexts(),
        [attempt(3), attempt(4), attempt(5)]
    );
}

#[tokio::test(start_paused = true)]
async fn no_hedge_starts_at_the_deadline_or_later() {
    for (deadline, hedges) in [(DELAY, 0), (DELAY + MS, 1)] {
        let context = Context {
            deadline: Some(Instant::now() + deadline),
            ..Context::default()
        };
        let mut stage = stage(|it| it);
        let mut call = context.enter(|| stage.call());
        assert_pending!(call.poll());

        advance(DELAY).await;
        assert_pending!(call.poll());

        assert_eq!(stage.hedge.snapshot().sent, hedges);
    }
}

#[tokio::test(start_paused = true)]
async fn no_hedge_starts_late_because_its_service_was_not_ready() {
    let context = Context {
        deadline: Some(Instant::now() + 2 * DELAY),
        ..Context::default()
    };
    let mut stage = stage(|it| it);
    let mut call = context.enter(|| stage.call());
    assert_pending!(call.poll());
    let primary = stage.attempt();
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());

    advance(DELAY).await;
    stage.mock.allow(1);
    assert_pending!(call.poll());

    stage.no_attempt();
    primary.succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_a_repeat_already_is_not_hedged() {
    let context = Context {
        upstream_attempt: 1,
        ..Context::default()
    };
    let mut stage = stage(|it| it);
    let mut call = context.enter(|| stage.call());
    assert_pending!(call.poll());

    advance(DELAY).await;
    assert_pending!(call.poll());

    assert_eq!(stage.hedge.snapshot().sent, 0);
}
