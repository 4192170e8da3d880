//! The time that a call may take.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use watertight_core::{Always, Backoff, Context, FailureKind, Outcome, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

use crate::stage::{Answer, BAD, GOOD, SECOND, stage, told};

fn within(time: Duration) -> Context {
    Context {
        deadline: Some(Instant::now() + time),
        ..Context::default()
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_begins_after_the_elapsed_time() {
    let stage = stage([BAD; 9], |it| {
        it.max_attempts(10).max_elapsed(3 * SECOND + SECOND / 2)
    });

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.times(), [0, 1_000, 2_000, 3_000]);
    assert_eq!(stage.given_up(), [("elapsed", 1)]);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_cannot_be_answered_by_the_deadline_is_not_begun() {
    let stage = stage([Answer::Takes(2 * SECOND), BAD, BAD, GOOD], |it| it);
    let start = Instant::now();
    within(9 * SECOND).scope(stage.call(1)).await.unwrap();
    assert_eq!((Instant::now() - start), 2 * SECOND);

    // A second to wait and two for the attempt do not fit into three.
    let answer = within(3 * SECOND).scope(stage.call(2)).await.unwrap();

    assert!(answer.is_failure());
    assert_eq!(
        (Instant::now() - start),
        2 * SECOND,
        "it gives up before it waits"
    );
    assert_eq!(stage.given_up(), [("deadline", 1)]);

    within(4 * SECOND).scope(stage.call(3)).await.unwrap();
    assert_eq!(stage.backend.calls(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_hint_beyond_the_deadline_is_not_waited_for() {
    let stage = stage([told(20 * SECOND)], |it| it);

    within(10 * SECOND).scope(stage.call(1)).await.unwrap();

    assert_eq!(stage.given_up(), [("deadline", 1)]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_hangs_is_dropped_and_made_again() {
    let answers = [Answer::Hangs, Answer::Takes(SECOND), GOOD];
    let stage = stage(answers, |it| it.attempt_timeout(2 * SECOND));

    assert!(stage.call(1).await.unwrap().is_success());

    assert_eq!(stage.backend.times(), [0, 3_000]);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_time() {
    let answers = [Answer::Hangs, Answer::Takes(SECOND)];
    let stage = stage(answers, |it| {
        it.attempt_timeout(2 * SECOND)
            .backoff(Backoff::constant(Duration::ZERO))
    });

    assert!(stage.call(1).await.unwrap().is_success());

    assert_eq!(stage.backend.times(), [0, 2_000]);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_answered_in_its_last_moment_is_answered() {
    let stage = stage([Answer::Takes(2 * SECOND)], |it| {
        it.attempt_timeout(2 * SECOND)
    });

    assert!(stage.call(1).await.unwrap().is_success());

    assert_eq!(stage.backend.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn when_all_attempts_hang_the_error_says_so() {
    let stage = stage([Answer::Hangs; 3], |it| it.attempt_timeout(SECOND));

    let error = stage.call(1).await.unwrap_err();

    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::TimedOut);
    assert_eq!(rejection.name(), "payments");
    assert_eq!(stage.backend.times(), [0, 2_000, 4_000]);
    assert_eq!(stage.counted().calls.failure, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_came_in_as_a_retry_is_left_to_those_above() {
    let retried = Context {
        upstream_attempt: 1,
        ..Context::default()
    };
    let guarded = stage([BAD, GOOD], |it| it);
    let unguarded = stage([BAD, GOOD], |it| it.amplification_guard(false));

    let first = retried.clone().scope(guarded.call(1)).await.unwrap();
    let second = retried.scope(unguarded.call(1)).await.unwrap();

    assert!(first.is_failure() && second.is_success());
    assert_eq!(guarded.given_up(), [("upstream_attempt", 1)]);
}

/// As all answers of gRPC are, whose status comes later.
#[tokio::test(start_paused = true)]
async fn how_long_an_attempt_takes_is_learned_from_answers_that_say_nothing_too() {
    let backend = service_fn(|fails: bool| async move {
        if fails {
            return Err(BoxError::from("reset"));
        }
        sleep(2 * SECOND).await;
        Ok(())
    });
    let layer = RetryLayer::builder("payments")
        .classify_fn(|answer: Result<&(), _>| match answer {
            Ok(()) => Outcome::Ignored,
            Err(_) => Outcome::failure(FailureKind::Other),
        })
        .repeat(Always)
        .backoff(Backoff::constant(SECOND))
        .registry(&Registry::new())
        .build();
    let service = layer.layer(backend);
    let call = |fails| within(3 * SECOND).scope(service.clone().oneshot(fails));

    call(false).await.unwrap();
    call(true).await.unwrap_err();

    assert_eq!(layer.handle().snapshot().given_up["deadline"], 1);
}
