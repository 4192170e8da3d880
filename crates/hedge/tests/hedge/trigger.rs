use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok};

use crate::stage::{DELAY, MS, Stage, stage};

/// Has calls answered after this time.
async fn answer(stage: &mut Stage, calls: usize, after: Duration) {
    for _ in 0..calls {
        let (mut call, primary) = stage.start();
        advance(after).await;
        primary.succeeds();
        assert_ready_ok!(call.poll());
    }
}

#[tokio::test(start_paused = true)]
async fn a_delay_of_zero_sends_all_copies_at_once() {
    let mut stage = stage(|it| it.after(Duration::ZERO).max_hedges(2));
    let mut call = stage.call();

    assert_pending!(call.poll());

    let (_primary, _first, second) = (stage.attempt(), stage.attempt(), stage.attempt());
    second.succeeds();
    assert_ready_ok!(call.poll());
    assert_eq!(stage.backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_endless_delay_sends_nothing() {
    let mut stage = stage(|it| it.after(Duration::MAX));
    let (mut call, _primary) = stage.start();

    advance(1_000_000 * DELAY).await;

    assert_pending!(call.poll());
    stage.no_attempt();
}

#[tokio::test(start_paused = true)]
async fn a_percentile_sends_nothing_before_the_warm_up_is_over() {
    let mut stage = stage(|it| it.after_percentile(0.98));
    answer(&mut stage, 99, DELAY).await;
    assert_eq!(stage.hedge.delay(), None);

    let (mut call, primary) = stage.start();
    advance(100 * DELAY).await;
    assert_pending!(call.poll());
    stage.no_attempt();
    primary.succeeds();
    assert_ready_ok!(call.poll());

    assert!(stage.hedge.delay().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_percentile_is_that_of_recent_calls() {
    let mut stage = stage(|it| it.after_percentile(0.9));
    answer(&mut stage, 90, DELAY).await;
    answer(&mut stage, 20, 5 * DELAY).await;

    let delay = stage.hedge.delay().unwrap();
    assert!(delay >= 5 * DELAY && delay < 6 * DELAY, "{delay:?}");

    let (mut call, _primary) = stage.start();
    advance(5 * DELAY - MS).await;
    assert_pending!(call.poll());
    stage.no_attempt();
    advance(DELAY).await;
    assert_pending!(call.poll());
    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

/// The quantile stands for all durations near it, and the delay is the longest of those.
#[tokio::test(start_paused = true)]
async fn calls_that_all_take_as_long_are_not_hedged() {
    let mut stage = stage(|it| it.after_percentile(0.98));
    answer(&mut stage, 300, 31 * MS).await;

    stage.no_attempt();
    assert_eq!(stage.hedge.snapshot().sent, 0);
    assert!(stage.hedge.delay().is_some_and(|delay| delay >= 31 * MS));
}

#[tokio::test(start_paused = true)]
async fn the_warm_up_may_be_shorter() {
    let mut stage = stage(|it| it.after_percentile(0.98).min_samples(3));

    answer(&mut stage, 3, DELAY).await;

    assert!(stage.hedge.delay().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_closure_says_the_delay_from_what_is_known() {
    let mut stage = stage(|it| {
        it.min_samples(10)
            .after_fn(|latencies| Some(2 * latencies.quantile(0.5)?))
    });
    answer(&mut stage, 10, DELAY).await;

    let (mut call, _primary) = stage.start();
    advance(2 * DELAY - MS).await;
    assert_pending!(call.poll());
    stage.no_attempt();
    advance(DELAY).await;
    assert_pending!(call.poll());

    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_closure_may_say_never() {
    let mut stage = stage(|it| it.after_fn(|_| None).max_hedges(4));
    let (mut call, _primary) = stage.start();

    advance(100 * DELAY).await;

    assert_pending!(call.poll());
    stage.no_attempt();
}

#[tokio::test(start_paused = true)]
async fn a_call_may_send_no_hedge() {
    let mut stage = stage(|it| it.max_hedges(0));
    let (mut call, _primary) = stage.start();

    advance(100 * DELAY).await;

    assert_pending!(call.poll());
    stage.no_attempt();
}

#[tokio::test(start_paused = true)]
async fn a_closure_that_panics_fails_its_call() {
    let mut stage = stage(|it| it.after_fn(|_| std::panic::resume_unwind(Box::new("closure"))));
    let mut call = stage.call();

    let panicked = catch_unwind(AssertUnwindSafe(|| call.poll()));
    drop(call);

    assert!(panicked.is_err());
    assert_eq!(stage.counted().calls.failure, 1);
    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(stage.hedge.in_flight(), 0);
}
