//! What retries are paid from.

use std::time::Duration;

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{Layer, Service};
use watertight_core::{Backoff, Budget};
use watertight_metrics::What;

use crate::stage::{Answer, BAD, Backend, GOOD, SECOND, builder, stage};

#[tokio::test(start_paused = true)]
async fn without_budget_the_answer_goes_up_as_it_came() {
    let stage = stage([BAD, Answer::Breaks("reset")], |it| {
        it.budget(Budget::ratio(0.1).min_per_second(0.0))
    });
    let mut events = stage.registry.subscribe();

    assert!(stage.call(1).await.unwrap().is_failure());
    let error = stage.call(1).await.unwrap_err();

    assert_eq!(error.to_string(), "reset");
    assert_eq!(stage.given_up(), [("budget", 2)]);
    let exhausted = "watertight_retry_budget_exhausted_total";
    let counted = stage.counted();
    let counted = counted.counts.iter().find(|it| it.metric == exhausted);
    assert_eq!(counted.unwrap().count, 2);
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.what, What::BudgetExhausted);
}

#[tokio::test(start_paused = true)]
async fn a_tenth_of_the_calls_may_be_retried() {
    let stage = stage([BAD; 1_000], |it| {
        it.budget(Budget::ratio(0.1).min_per_second(0.0))
            .backoff(Backoff::constant(Duration::ZERO))
            .max_attempts(2)
    });

    for _ in 0..500 {
        stage.call(1).await.unwrap();
    }

    let retries = stage.retry.snapshot().retries;
    assert!((49..=50).contains(&retries), "{retries}");
}

#[tokio::test(start_paused = true)]
async fn a_budget_is_shared_by_all_who_hold_it() {
    let budget = Budget::tokens(20);
    let first = stage([BAD], |it| it.budget(budget.clone()));
    let second = stage([BAD], |it| it.budget(budget.clone()));

    assert!(first.call(1).await.unwrap().is_success());
    let answer = second.call(1).await.unwrap();

    assert!(answer.is_success(), "the retry that succeeded gave back");
    drop((first, second));
    let third = stage([BAD, BAD, BAD], |it| it.budget(budget.clone()));
    third.call(1).await.unwrap();
    assert_eq!(third.given_up(), [("budget", 1)]);
    assert_eq!(third.backend.calls(), 2, "one retry for 14 of 20 tokens");
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_is_dropped_before_it_is_sent_gives_back() {
    let stage = stage([BAD, BAD], |it| it.budget(Budget::tokens(14)));
    let mut service = stage.service.clone();

    let mut dropped = task::spawn(service.call(1));
    assert_pending!(dropped.poll());
    drop(dropped);
    advance(SECOND).await;
    assert_eq!(stage.backend.calls(), 1);

    assert!(stage.call(2).await.unwrap().is_success());
    assert_eq!(stage.given_up(), []);
}

/// gRPC's throttle is asked again when the backoff is over.
#[tokio::test(start_paused = true)]
async fn a_retry_is_dropped_that_others_have_made_unaffordable() {
    let budget = Budget::grpc(4, 0.1);
    let stage = stage([BAD, BAD, BAD, BAD], |it| {
        it.budget(budget.clone()).max_attempts(2)
    });
    let mut service = stage.service.clone();
    let mut waiting = task::spawn(service.call(1));
    assert_pending!(waiting.poll());

    let other = builder().budget(budget).max_attempts(1).build();
    let mut other = other.layer(Backend::new([BAD, BAD]));
    for _ in 0..2 {
        assert_ready_ok!(task::spawn(other.call(2)).poll());
    }
    advance(SECOND).await;

    let answer = assert_ready_ok!(waiting.poll());
    assert!(answer.is_failure(), "the answer of the attempt just made");
    assert_eq!(stage.backend.calls(), 1);
    assert_eq!(stage.given_up(), [("budget", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_budget_of_calls_in_flight_counts_a_retry_until_it_ends() {
    let budget = Budget::concurrent(0.0, 1);
    let stage = stage([BAD, Answer::Hangs, BAD, BAD, GOOD], |it| it.budget(budget));
    let mut service = stage.service.clone();
    let mut hangs = task::spawn(service.call(1));
    assert_pending!(hangs.poll());
    advance(SECOND).await;
    assert_pending!(hangs.poll());
    assert_eq!(stage.backend.calls(), 2);

    assert!(stage.call(2).await.unwrap().is_failure());
    assert_eq!(stage.given_up(), [("budget", 1)]);

    drop(hangs);
    assert!(stage.call(3).await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_has_failed_is_not_in_flight_any_more() {
    let stage = stage([BAD, BAD, GOOD], |it| it.budget(Budget::concurrent(0.0, 1)));

    assert!(stage.call(1).await.unwrap().is_success());

    assert_eq!(stage.backend.calls(), 3);
}
