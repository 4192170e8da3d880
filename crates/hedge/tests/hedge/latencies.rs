//! What the layer learns from calls that it never sees the end of.

use std::time::Duration;

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok};

use crate::stage::{DELAY, MS, Stage, stage};

/// A stage that knows that calls take [`DELAY`].
async fn learnt() -> Stage {
    let mut stage = stage(|it| it.after_percentile(0.9).min_samples(10));
    for _ in 0..10 {
        took(&mut stage, DELAY).await;
    }
    let delay = stage.hedge.delay().unwrap();
    assert!(delay >= DELAY && delay < DELAY + MS, "{delay:?}");
    stage
}

async fn took(stage: &mut Stage, time: Duration) {
    let (mut call, primary) = stage.start();
    advance(time).await;
    primary.succeeds();
    assert_ready_ok!(call.poll());
}

/// Makes more calls than there were, so that what is learnt of them shows.
const MANY: usize = 200;

#[tokio::test(start_paused = true)]
async fn callers_that_go_early_say_nothing() {
    let mut stage = learnt().await;
    let before = stage.hedge.delay();

    for _ in 0..MANY {
        let (call, _primary) = stage.start();
        advance(MS).await;
        drop(call);
    }
    took(&mut stage, DELAY).await;

    assert_eq!(stage.hedge.delay(), before);
}

#[tokio::test(start_paused = true)]
async fn callers_that_go_late_say_that_calls_are_slow() {
    let mut stage = learnt().await;

    for _ in 0..MANY {
        let (call, _primary) = stage.start();
        advance(10 * DELAY).await;
        drop(call);
    }

    assert!(stage.hedge.delay().unwrap() >= 10 * DELAY);
}

#[tokio::test(start_paused = true)]
async fn a_primary_that_loses_counts_as_slow() {
    let mut stage = learnt().await;

    for _ in 0..MANY {
        let (mut call, _primary) = stage.start();
        let delay = stage.hedge.delay().unwrap();
        advance(delay + MS).await;
        assert_pending!(call.poll());
        advance(MS).await;
        stage.attempt().succeeds();
        assert_ready_ok!(call.poll());
    }

    assert!(stage.hedge.delay().unwrap() > DELAY + MS);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_hedge_says_nothing() {
    let mut stage = learnt().await;
    let before = stage.hedge.delay();

    for _ in 0..MANY {
        let (mut call, primary) = stage.start();
        advance(MS).await;
        primary.fails();
        assert_ready_ok!(call.poll());
    }
    took(&mut stage, DELAY).await;

    assert_eq!(stage.hedge.delay(), before);
}

#[tokio::test(start_paused = true)]
async fn what_was_learnt_is_forgotten() {
    let mut stage = learnt().await;
    for _ in 0..100 {
        took(&mut stage, 100 * DELAY).await;
    }
    assert!(stage.hedge.delay().unwrap() >= 100 * DELAY);

    for _ in 0..20_000 {
        took(&mut stage, DELAY).await;
        tokio::task::yield_now().await;
    }

    assert!(stage.hedge.delay().unwrap() < DELAY + MS);
}
