//! A service that says when to come again.

use std::time::Duration;

use watertight_core::{Backoff, Failure, FailureKind, Jitter};
use watertight_retry::RetryAfter;

use crate::stage::{Answer, BAD, GOOD, SECOND, stage, told};

#[tokio::test(start_paused = true)]
async fn is_waited_for_even_beyond_the_largest_backoff() {
    let stage = stage([told(20 * SECOND), GOOD], |it| it);

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.times(), [0, 20_000]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_of_nothing_leaves_the_backoff() {
    let stage = stage([told(Duration::ZERO), GOOD], |it| it);

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.times(), [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_hint_that_is_too_long_goes_up_with_its_answer() {
    let stage = stage([told(31 * SECOND)], |it| it);

    let answer = stage.call(1).await.unwrap();

    let hint = answer.as_failure().unwrap().retry_after;
    assert_eq!(hint, Some(31 * SECOND));
    assert_eq!(stage.given_up(), [("hint", 1)]);
}

#[tokio::test(start_paused = true)]
async fn can_be_ignored() {
    let stage = stage([told(20 * SECOND), GOOD], |it| {
        it.retry_after(RetryAfter::ignore())
    });

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.times(), [0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn a_pushback_is_waited_exactly_and_begins_the_backoff_anew() {
    let pushback = Failure::new(FailureKind::Overloaded).pushback(5 * SECOND);
    let answers = [BAD, Answer::Says(pushback.into()), BAD, GOOD];
    let stage = stage(answers, |it| {
        it.max_attempts(4)
            .backoff(Backoff::exponential(SECOND, 60 * SECOND).jitter(Jitter::None))
    });

    stage.call(1).await.unwrap();

    assert_eq!(stage.backend.times(), [0, 1_000, 6_000, 7_000]);
}
