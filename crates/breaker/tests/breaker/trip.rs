//! What opens a closed breaker.

use std::time::Duration;

use tokio::time::advance;
use watertight_breaker::State;
use watertight_core::{Failure, FailureKind, Reason, Window};

use crate::stage::{SECOND, failure, stage, unavailable_for};

#[tokio::test(start_paused = true)]
async fn opens_with_the_call_that_makes_the_rate_count_even_if_it_succeeds() {
    let mut stage = stage(|it| it.window(Window::time(20 * SECOND)).min_calls(5));

    stage.play("FFFS").await;
    assert_eq!(stage.state(), State::Closed);
    assert_eq!(stage.breaker.snapshot().failure_rate(), None);

    stage.play("S").await;
    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.refusal().reason(), Reason::CircuitOpen);
    assert_eq!(stage.counted().calls.rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn a_success_makes_the_rate_count_in_a_window_of_calls_too() {
    let mut stage = stage(|it| it.min_calls(5));

    stage.play("FFFS").await;
    assert_eq!(stage.state(), State::Closed);

    stage.play("S").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn exactly_the_rate_opens_and_exactly_the_threshold_is_not_slow() {
    let mut stage = stage(|it| it.min_calls(4).slow_call(2 * SECOND).slow_rate(0.5));
    for took in [2000, 2000, 2001, 0] {
        assert_eq!(stage.state(), State::Closed);
        let call = stage.start();
        advance(Duration::from_millis(took)).await;
        call.succeeds();
    }
    assert_eq!(stage.state(), State::Closed);

    let call = stage.start();
    advance(Duration::from_millis(2001)).await;
    call.succeeds();
    let call = stage.start();
    advance(Duration::from_millis(2001)).await;
    call.succeeds();
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_small_window_caps_the_calls_needed() {
    let mut stage = stage(|it| it.window(Window::calls(10)).min_calls(100));

    stage.play("SFSFSFSFS").await;
    assert_eq!(stage.state(), State::Closed);

    stage.play("F").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_failure_in_a_row_opens_and_a_success_ends_the_row() {
    let mut stage = stage(|it| it.consecutive_failures(3).failure_rate(0.0));

    stage.play("FFSFF").await;
    assert_eq!(stage.state(), State::Closed);

    stage.play("F").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_threshold_of_zero_is_off() {
    let mut stage = stage(|it| it.failure_rate(0.0).min_calls(1));

    stage.play(&"F".repeat(1_000)).await;

    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_cold_start_waits_for_the_calls_needed_however_fast_they_come() {
    for gap in [Duration::ZERO, SECOND] {
        let mut stage = stage(|it| it.window(Window::time(10 * SECOND)).min_calls(5));
        for _ in 0..4 {
            stage.play("F").await;
            advance(gap).await;
        }
        assert_eq!(stage.state(), State::Closed);

        stage.play("F").await;
        assert_eq!(stage.state(), State::Open);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_minimum_the_first_failure_opens() {
    let mut stage = stage(|it| it.min_calls(0));
    assert_eq!(stage.breaker.snapshot().failure_rate(), None);

    stage.play("F").await;

    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_failure_leaves_a_window_of_time() {
    let mut stage = stage(|it| {
        it.window(Window::time(10 * SECOND))
            .min_calls(3)
            .failure_rate(0.6)
    });
    stage.play("F").await;
    advance(5 * SECOND).await;
    stage.play("S").await;
    assert_eq!(stage.breaker.snapshot().standing.failure_rate(), Some(0.5));

    advance(Duration::from_millis(5_500)).await;
    stage.play("S").await;

    assert_eq!(stage.breaker.snapshot().standing.calls, 2);
    assert_eq!(stage.breaker.snapshot().standing.failure_rate(), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn old_failures_weigh_little_in_a_decaying_window() {
    let mut stage = stage(|it| it.window(Window::decay(SECOND)).min_calls(4));
    stage.play("FFF").await;
    advance(10 * SECOND).await;

    stage.play("SSSS").await;

    assert_eq!(stage.state(), State::Closed);
    stage.play("FFFF").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn half_of_the_window_opens_after_many_successes() {
    let mut stage = stage(|it| it.window(Window::calls(10)).min_calls(10));
    stage.play(&"S".repeat(100_000)).await;

    stage.play("FFFF").await;
    assert_eq!(stage.state(), State::Closed);

    stage.play("F").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn too_many_requests_weigh_a_quarter_and_are_no_row() {
    let mut rows = stage(|it| it.consecutive_failures(3).failure_rate(0.0));
    rows.play("TTTTT").await;
    assert_eq!(rows.state(), State::Closed);
    rows.play("FFTF").await;
    assert_eq!(rows.state(), State::Open);

    let mut rates = stage(|it| it.window(Window::calls(8)).min_calls(8));
    rates.play("TTTTTTTT").await;
    assert_eq!(rates.breaker.snapshot().failure_rate(), Some(0.25));
    rates.play("FFF").await;
    // The window is as it was when it tripped.
    assert_eq!(rates.breaker.snapshot().failure_rate(), Some(0.53125));
    assert_eq!(rates.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn odd_weights_count_one_call_and_nothing_else() {
    let mut stage = stage(|it| it.min_calls(4).consecutive_failures(2));
    for weight in [f32::NAN, -1.0, f32::NEG_INFINITY] {
        let odd = Failure::new(FailureKind::Server).weight(weight);
        stage.start().ends(odd.into());
    }
    assert_eq!(stage.breaker.snapshot().standing.calls, 3);
    assert_eq!(stage.breaker.snapshot().standing.failures, 0.0);

    let heavy = Failure::new(FailureKind::Server).weight(f32::INFINITY);
    stage.start().ends(heavy.into());
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn two_of_the_last_three() {
    let mut stage = stage(|it| {
        it.window(Window::calls(3))
            .min_calls(3)
            .failure_rate(2.0 / 3.0)
    });

    stage.play("FSSFSS").await;
    assert_eq!(stage.state(), State::Closed);

    stage.play("FF").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn what_is_ignored_or_rejected_below_counts_nothing() {
    let mut stage = stage(|it| it.min_calls(2));

    stage.play("IIII").await;
    for _ in 0..4 {
        stage.start().ends(failure(FailureKind::Rejected));
    }

    assert_eq!(stage.breaker.snapshot().standing.calls, 0);
    assert_eq!(stage.counted().calls.ignored, 8);
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn obeys_an_answer_that_says_when_to_come_back() {
    let mut stage = stage(|it| it.obey_retry_after(true));

    stage.start().ends(unavailable_for(30 * SECOND));

    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.refusal().retry_after(), Some(30 * SECOND));
    advance(30 * SECOND).await;
    stage.start().succeeds();
    assert_eq!(stage.state(), State::HalfOpen);

    // A probe is obeyed too.
    stage.start().ends(unavailable_for(7 * SECOND));
    assert_eq!(stage.refusal().retry_after(), Some(7 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn obeys_for_an_hour_at_most_and_only_if_told_to() {
    let mut obedient = stage(|it| it.obey_retry_after(true));
    obedient.start().ends(unavailable_for(Duration::MAX));
    let hour = Duration::from_secs(3_600);
    assert_eq!(obedient.refusal().retry_after(), Some(hour));

    let mut other = stage(|it| it);
    other.start().ends(unavailable_for(30 * SECOND));
    assert_eq!(other.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn says_why_it_opened() {
    let mut stage = stage(|it| it.consecutive_failures(2));
    let mut events = stage.registry.subscribe();

    stage.play("SFF").await;

    let event = events.next().await.unwrap().unwrap();
    let text = serde_json::to_string(&event).unwrap();
    for part in [
        "\"closed\"",
        "\"open\"",
        "\"consecutive_failures\"",
        "\"calls\":3",
        "\"payments\"",
    ] {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_failure_and_passes_as_it_is() {
    let mut stage = stage(|it| it.consecutive_failures(2));
    let first = stage.start();
    let second = stage.start();

    first.breaks();
    assert_eq!(stage.state(), State::Closed);
    second.breaks();

    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.counted().calls.failure, 2);
}
