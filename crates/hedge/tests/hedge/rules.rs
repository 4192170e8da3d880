use std::future::poll_fn;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Always, Budget, Failure, FailureKind, Outcome, RetriesExhausted};
use watertight_hedge::HedgeLayer;
use watertight_metrics::Registry;

use crate::stage::{DELAY, MS, broken, broken_with, failure, stage};

#[tokio::test(start_paused = true)]
async fn a_call_that_is_answered_before_the_delay_is_not_hedged() {
    let mut stage = stage(|it| it);
    let (mut call, primary) = stage.start();
    advance(DELAY - MS).await;
    assert_pending!(call.poll());

    primary.succeeds();
    assert_eq!(assert_ready_ok!(call.poll()), Outcome::Success);

    stage.no_attempt();
    assert_eq!(stage.hedge.snapshot().sent, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_is_sent_again_and_the_first_success_wins() {
    let mut stage = stage(|it| it);
    let (mut call, _primary, hedge) = stage.start_hedged().await;
    assert_eq!(hedge.request, "query");
    assert_eq!(stage.backend.alive(), 2);

    hedge.succeeds();
    assert_eq!(assert_ready_ok!(call.poll()), Outcome::Success);

    // The loser is gone before the call is.
    assert_eq!(stage.backend.alive(), 0);
    let snapshot = stage.hedge.snapshot();
    assert_eq!((snapshot.sent, snapshot.won_by_hedge), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn the_primary_may_win_yet() {
    let mut stage = stage(|it| it);
    let (mut call, primary, _hedge) = stage.start_hedged().await;

    primary.succeeds();
    assert_ready_ok!(call.poll());

    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(stage.hedge.snapshot().won_by_primary, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failure_before_the_first_hedge_is_the_answer() {
    let mut stage = stage(|it| it);
    let (mut call, primary) = stage.start();

    primary.fails();

    assert_eq!(assert_ready_ok!(call.poll()), broken());
    stage.no_attempt();
}

#[tokio::test(start_paused = true)]
async fn an_error_comes_up_as_it_is() {
    let mut stage = stage(|it| it);
    let (mut call, primary) = stage.start();

    primary.breaks();

    let error = assert_ready_err!(call.poll());
    assert_eq!(error.to_string(), "reset by peer");
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_ready_with_the_timer_wins() {
    let mut stage = stage(|it| it);
    let (mut call, primary) = stage.start();
    advance(DELAY).await;

    primary.succeeds();
    assert_ready_ok!(call.poll());

    stage.no_attempt();
}

#[tokio::test(start_paused = true)]
async fn further_hedges_follow_after_the_same_delay_again() {
    let mut stage = stage(|it| it.max_hedges(3));
    let (mut call, _primary, _first) = stage.start_hedged().await;
    let mut hedges = Vec::new();
    for _ in 0..2 {
        advance(DELAY - MS).await;
        assert_pending!(call.poll());
        stage.no_attempt();
        advance(MS).await;
        assert_pending!(call.poll());
        hedges.push(stage.attempt());
    }

    advance(100 * DELAY).await;
    assert_pending!(call.poll());
    stage.no_attempt();

    hedges.pop().unwrap().succeeds();
    assert_ready_ok!(call.poll());
    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(stage.hedge.snapshot().sent, 3);
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_of_a_hedge_sends_the_next_at_once() {
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, _primary, hedge) = stage.start_hedged().await;

    hedge.fails();
    assert_pending!(call.poll());

    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_retryable_failure_of_the_primary_sends_the_next_at_once() {
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, primary, _hedge) = stage.start_hedged().await;

    primary.fails();
    assert_pending!(call.poll());

    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_failed_primary_is_outdone_by_its_hedge() {
    let mut stage = stage(|it| it);
    let (mut call, primary, hedge) = stage.start_hedged().await;

    primary.fails();
    assert_pending!(call.poll());
    hedge.succeeds();

    assert_eq!(assert_ready_ok!(call.poll()), Outcome::Success);
}

#[tokio::test(start_paused = true)]
async fn a_fatal_failure_of_any_attempt_ends_the_call_with_it() {
    for by_hedge in [false, true] {
        let mut stage = stage(|it| it.max_hedges(2));
        let (mut call, primary, hedge) = stage.start_hedged().await;
        let (fails, _waits) = if by_hedge {
            (hedge, primary)
        } else {
            (primary, hedge)
        };

        fails.ends(failure(FailureKind::Client));

        assert_eq!(assert_ready_ok!(call.poll()), failure(FailureKind::Client));
        assert_eq!(stage.backend.alive(), 0);
        stage.no_attempt();
    }
}

#[tokio::test(start_paused = true)]
async fn if_all_fail_the_answer_is_the_primarys() {
    for primary_first in [false, true] {
        let mut stage = stage(|it| it);
        let (mut call, primary, hedge) = stage.start_hedged().await;
        let (primary, hedge) = (
            || primary.ends(broken_with(0.1)),
            || hedge.ends(broken_with(0.2)),
        );

        if primary_first {
            primary();
            assert_pending!(call.poll());
            hedge();
        } else {
            hedge();
            assert_pending!(call.poll());
            primary();
        }

        assert_eq!(assert_ready_ok!(call.poll()), broken_with(0.1));
        assert_eq!(stage.counted().calls.failure, 1);
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_fail_in_one_poll_are_seen() {
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, primary, hedge) = stage.start_hedged().await;

    hedge.fails();
    primary.ends(broken_with(0.1));
    assert_pending!(call.poll());
    stage.attempt().fails();

    assert_eq!(assert_ready_ok!(call.poll()), broken_with(0.1));
}

#[tokio::test(start_paused = true)]
async fn a_service_that_wants_no_more_is_sent_no_more_and_waited_for() {
    let no_more = Failure::new(FailureKind::Overloaded).retryable(false);
    let mut stage = stage(|it| it.max_hedges(3));
    let (mut call, primary, hedge) = stage.start_hedged().await;

    hedge.ends(no_more.into());
    assert_pending!(call.poll());
    advance(100 * DELAY).await;
    assert_pending!(call.poll());
    stage.no_attempt();

    primary.succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_pushback_delays_the_next_and_then_the_rhythm_goes_on() {
    let later = Failure::new(FailureKind::Overloaded).pushback(5 * DELAY);
    let mut stage = stage(|it| it.max_hedges(3));
    let (mut call, _primary, hedge) = stage.start_hedged().await;
    hedge.ends(later.into());
    assert_pending!(call.poll());

    advance(5 * DELAY - MS).await;
    assert_pending!(call.poll());
    stage.no_attempt();
    advance(MS).await;
    assert_pending!(call.poll());
    let _second = stage.attempt();

    advance(DELAY).await;
    assert_pending!(call.poll());
    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_failure_without_a_hint_does_not_cut_the_wait_of_another_short() {
    let later = Failure::new(FailureKind::Overloaded).pushback(5 * DELAY);
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, primary, hedge) = stage.start_hedged().await;
    hedge.ends(later.into());
    assert_pending!(call.poll());

    primary.fails();
    assert_pending!(call.poll());
    advance(5 * DELAY - MS).await;
    assert_pending!(call.poll());
    stage.no_attempt();
    advance(MS).await;
    assert_pending!(call.poll());

    stage.attempt().succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_asks_for_an_hour_is_sent_no_more_whatever_fails() {
    let hour = Duration::from_secs(3600);
    let later = Failure::new(FailureKind::Overloaded).retry_after(Some(hour));
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, primary, hedge) = stage.start_hedged().await;
    hedge.ends(later.into());
    assert_pending!(call.poll());

    primary.fails();

    assert_eq!(assert_ready_ok!(call.poll()), broken());
    stage.no_attempt();
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_counts_nowhere_is_an_answer() {
    let mut stage = stage(|it| it);
    let (mut call, _primary, hedge) = stage.start_hedged().await;

    hedge.ends(Outcome::Ignored);

    assert_eq!(assert_ready_ok!(call.poll()), Outcome::Ignored);
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_fails_with_a_rejection_does_not_end_the_call() {
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, primary, hedge) = stage.start_hedged().await;

    hedge.ends(failure(FailureKind::Rejected));
    assert_pending!(call.poll());
    stage.no_attempt();

    primary.succeeds();
    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn a_polled_call_that_nothing_has_happened_to_wakes_nobody() {
    let mut stage = stage(|it| it);
    let (call, primary, _hedge) = stage.start_hedged().await;
    assert!(!call.is_woken());

    advance(100 * DELAY).await;
    assert!(!call.is_woken());

    primary.succeeds();
    assert!(call.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_timer_that_nobody_waits_for_any_more_wakes_nobody() {
    let no_more = Failure::new(FailureKind::Overloaded).retryable(false);
    for failed in [broken(), no_more.into()] {
        let mut stage = stage(|it| it.max_hedges(2));
        let (mut call, _primary, hedge) = stage.start_hedged().await;

        // The wait for the second hedge is over, be it sent or not.
        hedge.ends(failed);
        assert_pending!(call.poll());
        advance(2 * DELAY).await;

        assert!(!call.is_woken(), "{failed:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_timer_wakes_the_call() {
    let mut stage = stage(|it| it);
    let (call, _primary) = stage.start();

    advance(DELAY - MS).await;
    assert!(!call.is_woken());
    advance(MS).await;

    assert!(call.is_woken());
}

/// An error that a retry layer below has given up on is marked for the one poll in which it is
/// returned, and here others are polled before it goes up.
#[tokio::test(start_paused = true)]
async fn a_primary_that_was_retried_already_is_known_for_it() {
    let layer = HedgeLayer::builder("search")
        .repeat(Always)
        .after(Duration::ZERO)
        .budget(Budget::unlimited())
        .registry(&Registry::new())
        .build();
    let calls = AtomicU32::new(0);
    let mut service = layer.layer(service_fn(|()| {
        let is_primary = calls.fetch_add(1, Ordering::Relaxed) == 0;
        let mut polls = 0;
        poll_fn(move |_| {
            polls += 1;
            if is_primary && polls == 1 {
                return Poll::Pending;
            }
            RetriesExhausted::watch(|| {
                let error = BoxError::from("broken");
                if is_primary {
                    RetriesExhausted::mark(&*error);
                } else if polls < 2 {
                    return Poll::Pending;
                }
                Poll::Ready(Err::<(), _>(error))
            })
        })
    }));
    let mut call = spawn(service.call(()));
    assert_pending!(call.poll());

    let error = assert_ready_err!(call.poll());

    assert!(RetriesExhausted::is_marked(&*error));
}
