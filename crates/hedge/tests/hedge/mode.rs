use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok};
use watertight_core::{Budget, Mode};

use crate::stage::{DELAY, broken, stage};

#[tokio::test(start_paused = true)]
async fn off_hedges_nothing_and_counts_nothing() {
    let mut stage = stage(|it| it.mode(Mode::Off));
    let (mut call, primary) = stage.start();
    advance(DELAY).await;
    assert_pending!(call.poll());
    stage.no_attempt();

    primary.succeeds();
    assert_ready_ok!(call.poll());

    assert_eq!(stage.counted().calls.success, 0);
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_what_it_would_send_and_sends_nothing() {
    let mut stage = stage(|it| it.mode(Mode::Shadow).max_hedges(2));
    let (mut call, primary) = stage.start();
    for _ in 0..5 {
        advance(DELAY).await;
        assert_pending!(call.poll());
    }
    stage.no_attempt();

    primary.succeeds();
    assert_ready_ok!(call.poll());

    let snapshot = stage.hedge.snapshot();
    assert_eq!((snapshot.sent_in_shadow, snapshot.sent), (2, 0));
    assert_eq!((snapshot.won_by_primary, snapshot.won_by_hedge), (0, 0));
    assert_eq!(stage.counted().calls.success, 1);
}

#[tokio::test(start_paused = true)]
async fn shadow_leaves_the_answer_of_the_primary_alone() {
    let mut stage = stage(|it| it.mode(Mode::Shadow).max_hedges(2));
    let (mut call, primary) = stage.start();
    advance(DELAY).await;
    assert_pending!(call.poll());

    primary.fails();

    assert_eq!(assert_ready_ok!(call.poll()), broken());
}

#[tokio::test(start_paused = true)]
async fn shadow_is_bound_by_the_budget() {
    let budget = Budget::tokens(Budget::COST);
    let mut stage = stage(|it| it.mode(Mode::Shadow).max_hedges(3).budget(budget));
    let (mut call, _primary) = stage.start();
    for _ in 0..5 {
        advance(DELAY).await;
        assert_pending!(call.poll());
    }

    let snapshot = stage.hedge.snapshot();
    assert_eq!(
        (snapshot.sent_in_shadow, snapshot.refused_by_budget),
        (1, 1)
    );
}
