//! What is retried, how often, and what comes back.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::{Always, Backoff, FailureKind, Jitter, Name, Outcome, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

use crate::stage::{Answer, BAD, Backend, GOOD, SECOND, builder, failure, stage};

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_is_made_once() {
    let stage = stage([GOOD], |it| it);

    assert_eq!(stage.call(1).await.unwrap(), Outcome::Success);

    assert_eq!(stage.backend.calls(), 1);
    assert_eq!(stage.retry.snapshot().retries, 0);
    assert_eq!(stage.counted().calls.success, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_fails_is_made_again_until_it_succeeds() {
    let stage = stage([BAD, Answer::Breaks("reset"), GOOD], |it| it);

    assert_eq!(stage.call(7).await.unwrap(), Outcome::Success);

    assert_eq!(stage.backend.times(), [0, 1_000, 2_000]);
    let called = stage.backend.called();
    assert!(called.iter().all(|call| call.request == 7));
    assert_eq!(stage.counted().calls.success, 1);
    assert_eq!(stage.counted().calls.failure, 0);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_knows_its_number() {
    let stage = stage([BAD, BAD, GOOD], |it| it);

    stage.call(1).await.unwrap();

    let attempts: Vec<_> = stage.backend.called().iter().map(|it| it.attempt).collect();
    assert_eq!(attempts, [0, 1, 2]);
}

#[tokio::test(start_paused = true)]
async fn the_last_answer_is_returned_as_it_came() {
    let last = Outcome::failure(FailureKind::Timeout);
    let stage = stage([BAD, BAD, Answer::Says(last)], |it| it);
    assert_eq!(stage.call(1).await.unwrap(), last);

    let errors = ["first", "second", "third"].map(Answer::Breaks);
    let stage = crate::stage::stage(errors, |it| it);
    assert_eq!(stage.call(1).await.unwrap_err().to_string(), "third");
    assert_eq!(stage.backend.calls(), 3);
    assert_eq!(stage.given_up(), [("attempts", 1)]);
    assert_eq!(stage.counted().calls.failure, 1);
}

#[tokio::test(start_paused = true)]
async fn one_attempt_is_no_retry() {
    let stage = stage([BAD], |it| it.max_attempts(1));

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.calls(), 1);
    assert_eq!(stage.given_up(), [("attempts", 1)]);
}

#[tokio::test(start_paused = true)]
async fn what_does_not_pass_is_not_retried() {
    for kind in [FailureKind::Client, FailureKind::Rejected] {
        let stage = stage([failure(kind)], |it| it);

        stage.call(1).await.unwrap();

        assert_eq!(stage.backend.calls(), 1);
        assert_eq!(stage.given_up(), [("not_retryable", 1)]);
    }
    let stage = stage([Answer::Says(Outcome::Ignored)], |it| it);
    stage.call(1).await.unwrap();
    assert_eq!(stage.backend.calls(), 1);
    assert_eq!(stage.counted().calls.ignored, 1);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_picks_among_the_failures() {
    let is_timeout = |outcome: &Outcome| {
        let failure = outcome.as_failure().unwrap();
        failure.kind == FailureKind::Timeout
    };
    let stage = stage([failure(FailureKind::Timeout), BAD], |it| {
        it.retry_if(is_timeout)
    });

    assert!(stage.call(1).await.unwrap().is_failure());

    assert_eq!(stage.backend.calls(), 2);
    assert_eq!(stage.given_up(), [("predicate", 1)]);
}

#[tokio::test(start_paused = true)]
async fn waits_as_its_backoff_says() {
    let stage = stage([BAD, BAD, BAD, GOOD], |it| {
        it.max_attempts(4)
            .backoff(Backoff::exponential(SECOND, 3 * SECOND))
    });

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.times(), [0, 1_000, 3_000, 6_000]);
}

#[tokio::test(start_paused = true)]
async fn without_a_delay_it_does_not_wait() {
    let stage = stage([BAD, BAD, GOOD], |it| {
        it.backoff(Backoff::constant(Duration::ZERO))
    });
    let start = Instant::now();

    stage.call(1).await.unwrap();

    assert_eq!((Instant::now() - start), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn calls_do_not_wait_in_step() {
    let stage = stage([BAD; 20], |it| {
        it.backoff(
            Backoff::exponential(SECOND, SECOND)
                .jitter(Jitter::Full)
                .seed(7),
        )
    });
    let calls = (0..20).map(|request| stage.call(request));

    futures_util::future::join_all(calls).await;

    let mut times = stage.backend.times().split_off(20);
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 15, "{times:?}");
    assert!(times.iter().all(|time| *time <= 1_000));
}

#[tokio::test(start_paused = true)]
async fn many_attempts_in_one_poll_need_no_more_stack_than_one() {
    let stage = stage([], |it| {
        it.max_attempts(100_000)
            .backoff(Backoff::constant(Duration::ZERO))
    });
    stage.backend.answer(std::iter::repeat_n(BAD, 99_999));

    assert!(stage.call(1).await.unwrap().is_success());

    assert_eq!(stage.backend.calls(), 100_000);
}

/// There is no timer here that it could set.
#[test]
fn a_retry_at_once_needs_no_timer() {
    let backend = Backend::new([BAD, BAD, GOOD]);
    let layer = builder()
        .backoff(Backoff::constant(Duration::ZERO))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(backend.clone());

    let answer = assert_ready_ok!(task::spawn(service.call(1)).poll());

    assert!(answer.is_success());
    assert_eq!(backend.calls(), 3);
}

/// An answer that nobody will see may hold a connection, or a place in a bulkhead.
#[tokio::test(start_paused = true)]
async fn an_answer_that_is_to_be_retried_is_dropped_before_the_wait() {
    let held = Arc::new(());
    let answers = Arc::downgrade(&held);
    let backend = service_fn(move |_: u32| ready(Ok::<_, BoxError>(answers.upgrade())));
    let mut service = RetryLayer::builder("payments")
        .classify_fn(|_: Result<&Option<_>, _>| Outcome::failure(FailureKind::Server))
        .repeat(Always)
        .backoff(Backoff::constant(SECOND))
        .registry(&Registry::new())
        .build()
        .layer(backend);

    let mut call = task::spawn(service.call(1));
    assert_pending!(call.poll());

    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_below_refused_is_not_retried_whatever_it_is_taken_for() {
    let calls = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&calls);
    let refuses = service_fn(move |_: u32| {
        counter.fetch_add(1, Ordering::Relaxed);
        let refused = Rejection::new(Reason::CircuitOpen, Name::from("below"));
        ready(Err::<(), _>(BoxError::from(
            refused.with_retry_after(SECOND),
        )))
    });
    let layer = RetryLayer::builder("payments")
        .classify_fn(|_: Result<&(), _>| Outcome::failure(FailureKind::Server))
        .repeat(Always)
        .registry(&Registry::new())
        .build();

    let error = layer.layer(refuses).oneshot(1).await.unwrap_err();

    assert_eq!(
        Rejection::find(&*error).unwrap().reason(),
        Reason::CircuitOpen
    );
    assert_eq!(calls.load(Ordering::Relaxed), 1);
    let snapshot = layer.handle().snapshot();
    assert_eq!(snapshot.given_up["not_retryable"], 1);
}
