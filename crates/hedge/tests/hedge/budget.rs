use tokio::time::{Instant, advance};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Always, Budget, BudgetCall, Failure, FailureKind};
use watertight_hedge::HedgeLayer;
use watertight_metrics::Registry;

use crate::stage::{DELAY, failure, stage};

/// A budget for so many hedges, to which calls add nothing.
fn only(hedges: u32) -> Budget {
    match hedges {
        0 => Budget::concurrent(0.0, 0),
        _ => Budget::tokens(hedges * Budget::COST),
    }
}

/// Whether there is budget for one hedge more.
fn is_left(budget: &Budget) -> bool {
    BudgetCall::new(budget).withdraw(&Failure::new(FailureKind::Timeout), Instant::now)
}

#[tokio::test(start_paused = true)]
async fn without_a_budget_the_primary_is_waited_for() {
    let mut stage = stage(|it| it.budget(only(0)));
    let (mut call, primary) = stage.start();
    advance(DELAY).await;
    assert_pending!(call.poll());
    stage.no_attempt();

    primary.succeeds();
    assert_ready_ok!(call.poll());

    let snapshot = stage.hedge.snapshot();
    assert_eq!((snapshot.sent, snapshot.refused_by_budget), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn each_hedge_is_paid_for() {
    let mut stage = stage(|it| it.budget(only(2)).max_hedges(4));
    let (mut call, _primary, _first) = stage.start_hedged().await;
    advance(DELAY).await;
    assert_pending!(call.poll());
    let _second = stage.attempt();

    advance(100 * DELAY).await;
    assert_pending!(call.poll());

    stage.no_attempt();
    let snapshot = stage.hedge.snapshot();
    assert_eq!((snapshot.sent, snapshot.refused_by_budget), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn the_next_after_a_failure_is_paid_for_too() {
    let mut stage = stage(|it| it.budget(only(1)).max_hedges(2));
    let (mut call, primary, hedge) = stage.start_hedged().await;

    hedge.fails();
    assert_pending!(call.poll());
    stage.no_attempt();
    primary.fails();

    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_budget_that_is_empty_when_all_have_failed_ends_the_call() {
    let mut stage = stage(|it| it.budget(only(1)).max_hedges(2));
    let (mut call, primary, hedge) = stage.start_hedged().await;

    primary.ends(failure(FailureKind::Overloaded));
    hedge.fails();

    assert_eq!(
        assert_ready_ok!(call.poll()),
        failure(FailureKind::Overloaded)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_pays_nothing_before_its_delay_and_gives_back_what_it_did_not_send() {
    let budget = only(1);
    let mut stage = stage(|it| it.budget(budget.clone()));
    let (mut first, _primary) = stage.start();
    let (mut second, _other) = stage.start();
    // The service of the first one's hedge is not ready.
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(stage.hedge.snapshot().refused_by_budget, 1);

    drop(first);
    stage.mock.allow(10);
    let (mut third, _another) = stage.start();
    advance(DELAY).await;
    assert_pending!(third.poll());

    let _hedge = stage.attempt();
}

#[tokio::test(start_paused = true)]
async fn hedges_in_flight_count_until_the_call_ends() {
    let mut stage = stage(|it| it.budget(Budget::concurrent(0.0, 1)));
    let (mut first, _primary, hedge) = stage.start_hedged().await;
    let (mut second, _other) = stage.start();
    advance(DELAY).await;
    assert_pending!(second.poll());
    stage.no_attempt();

    hedge.succeeds();
    assert_ready_ok!(first.poll());

    let (_third, _another, _hedge) = stage.start_hedged().await;
}

#[tokio::test(start_paused = true)]
async fn layers_share_a_budget() {
    let budget = only(1);
    let mut stage = stage(|it| it.budget(budget.clone()));
    let other = HedgeLayer::builder("other")
        .repeat(Always)
        .after(DELAY)
        .budget(budget)
        .registry(&Registry::new())
        .build();
    let mut service = other.layer(service_fn(|()| {
        std::future::pending::<Result<(), BoxError>>()
    }));
    let _hedged = stage.start_hedged().await;

    let mut call = spawn(service.call(()));
    assert_pending!(call.poll());
    advance(DELAY).await;
    assert_pending!(call.poll());

    let snapshot = other.handle().snapshot();
    assert_eq!((snapshot.sent, snapshot.refused_by_budget), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_has_failed_makes_room_for_the_next() {
    let mut stage = stage(|it| it.budget(Budget::concurrent(0.0, 1)).max_hedges(2));
    let (mut call, _primary, hedge) = stage.start_hedged().await;

    hedge.fails();
    assert_pending!(call.poll());

    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_is_put_off_is_not_paid_for_meanwhile() {
    let later = Failure::new(FailureKind::Overloaded).pushback(100 * DELAY);
    let mut stage = stage(|it| it.budget(only(2)).max_hedges(2));
    let (mut first, _primary, hedge) = stage.start_hedged().await;
    // The next is paid for, and its service not ready.
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(first.poll());

    hedge.ends(later.into());
    assert_pending!(first.poll());
    stage.mock.allow(10);

    let (_second, _other, _hedge) = stage.start_hedged().await;
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_others_have_left_no_budget_is_not_sent() {
    let mut stage = stage(|it| it.budget(Budget::grpc(4, 0.1)));
    let (mut call, _primary) = stage.start();
    let others = [(); 2].map(|()| stage.start());
    // The hedge is paid for, and its service not ready.
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());

    for (mut other, primary) in others {
        primary.fails();
        assert_ready_ok!(other.poll());
    }
    stage.mock.allow(10);
    assert_pending!(call.poll());

    stage.no_attempt();
    assert_eq!(stage.hedge.snapshot().refused_by_budget, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_whose_service_breaks_is_given_back() {
    let budget = only(1);
    let mut stage = stage(|it| it.budget(budget.clone()));
    let (mut call, _primary) = stage.start();
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());
    assert!(!is_left(&budget));

    stage.mock.send_error("broken");
    assert_pending!(call.poll());

    assert!(is_left(&budget));
}

#[tokio::test(start_paused = true)]
async fn a_hedged_call_that_succeeds_brings_back_what_its_hedge_has_cost() {
    let budget = only(1);
    let mut stage = stage(|it| it.budget(budget.clone()));
    let (mut call, _primary, hedge) = stage.start_hedged().await;
    assert!(!is_left(&budget));

    hedge.succeeds();
    assert_ready_ok!(call.poll());

    assert!(is_left(&budget));
}

#[tokio::test(start_paused = true)]
async fn each_attempt_that_fails_takes_a_token_in_the_style_of_grpc() {
    let budget = Budget::grpc(4, 0.1);
    let mut stage = stage(|it| it.budget(budget.clone()));
    let (mut call, primary, hedge) = stage.start_hedged().await;

    hedge.fails();
    assert_pending!(call.poll());
    assert!(is_left(&budget));
    primary.fails();
    assert_ready_ok!(call.poll());

    assert!(!is_left(&budget));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_needs_no_hedge_tells_the_budget_how_it_ended() {
    let budget = Budget::grpc(4, 2.0);
    let mut stage = stage(|it| it.budget(budget.clone()));
    for _ in 0..2 {
        let (mut call, primary) = stage.start();
        primary.fails();
        assert_ready_ok!(call.poll());
    }
    assert!(!is_left(&budget));

    let (mut call, primary) = stage.start();
    primary.succeeds();
    assert_ready_ok!(call.poll());

    assert!(is_left(&budget));
}
