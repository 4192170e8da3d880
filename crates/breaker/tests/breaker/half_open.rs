//! What half-open lets through, and what it makes of it.

use std::time::Duration;

use tokio::time::advance;
use watertight_breaker::State;
use watertight_core::{FailureKind, Outcome, Reason, Standing};

use crate::stage::{SECOND, failure, stage, unavailable_for};

#[tokio::test(start_paused = true)]
async fn the_first_call_after_the_open_time_probes_with_an_empty_window() {
    let mut stage = stage(|it| it.open_for(5 * SECOND).min_calls(1));
    stage.play("F").await;
    advance(3 * SECOND).await;
    let refusal = stage.refusal();
    assert_eq!(refusal.reason(), Reason::CircuitOpen);
    assert_eq!(refusal.retry_after(), Some(2 * SECOND));
    assert_eq!(refusal.name(), "payments");

    advance(2 * SECOND).await;
    let probe = stage.start();

    assert_eq!(stage.state(), State::HalfOpen);
    assert_eq!(stage.breaker.snapshot().standing, Standing::default());
    assert_eq!(stage.breaker.snapshot().probes_in_flight, 1);
    probe.succeeds();
}

#[tokio::test(start_paused = true)]
async fn only_so_many_probes_are_in_flight() {
    let mut stage = stage(|it| it.half_open_calls(4).close_after(10));
    stage.half_open().await;

    let mut probes: Vec<_> = (0..4).map(|_| stage.start()).collect();
    assert_eq!(stage.refusal().retry_after(), None);
    stage.refusal();

    drop(probes.pop());
    probes.push(stage.start());
    stage.refusal();
    assert_eq!(stage.breaker.snapshot().probes_in_flight, 4);
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_the_probes_decides_once_all_have_finished() {
    for (calls, state) in [("FFSF", State::Open), ("FSSS", State::Closed)] {
        let mut stage = stage(|it| {
            it.half_open_calls(4)
                .close_after(4)
                .half_open_failure_rate(0.5)
        });
        stage.half_open().await;

        stage.play(&calls[..3]).await;
        assert_eq!(stage.state(), State::HalfOpen);

        stage.play(&calls[3..]).await;
        assert_eq!(stage.state(), state, "{calls}");
        if state == State::Closed {
            assert_eq!(stage.breaker.snapshot().standing, Standing::default());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_few_and_succeed_close_it() {
    let mut stage = stage(|it| it.half_open_timeout(2 * SECOND).close_after(3));
    stage.half_open().await;

    for _ in 0..3 {
        assert_ne!(stage.state(), State::Closed);
        stage.play("S").await;
        advance(60 * SECOND).await;
    }

    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_among_few_opens_it_when_the_time_is_over() {
    let mut stage = stage(|it| {
        it.half_open_timeout(2 * SECOND)
            .close_after(4)
            .half_open_failure_rate(0.5)
    });
    stage.half_open().await;

    stage.play("SFS").await;
    advance(2 * SECOND).await;

    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_dropped_after_the_time_has_hung_until_then() {
    let mut stage = stage(|it| it.half_open_timeout(2 * SECOND).half_open_calls(1));
    stage.half_open().await;
    let probe = stage.start();
    advance(2 * SECOND).await;

    drop(probe);

    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn what_is_ignored_gives_the_place_back_and_decides_nothing() {
    let mut stage = stage(|it| it.half_open_calls(1).close_after(4));
    stage.half_open().await;

    stage.play("IIII").await;
    stage.start().ends(failure(FailureKind::Rejected));
    assert_eq!(stage.state(), State::HalfOpen);

    stage.play("SSS").await;
    assert_eq!(stage.state(), State::HalfOpen);
    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_failure_opens_and_enough_successes_close() {
    let mut stage = stage(|it| it.close_after(3));
    stage.half_open().await;
    stage.play("SSF").await;
    assert_eq!(stage.state(), State::Open);

    stage.half_open().await;
    stage.play("SSS").await;
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_is_told_of_too_many_fails() {
    let mut stage = stage(|it| it);
    stage.half_open().await;

    stage.play("T").await;

    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_slow_probe_fails_only_where_slow_calls_are_configured() {
    let mut lenient = stage(|it| {
        it.open_for(SECOND)
            .half_open_timeout(60 * SECOND)
            .close_after(1)
    });
    lenient.half_open().await;
    let probe = lenient.start();
    advance(30 * SECOND).await;
    probe.succeeds();
    assert_eq!(lenient.state(), State::Closed);

    let mut strict = stage(|it| {
        it.slow_call(SECOND)
            .half_open_timeout(60 * SECOND)
            .close_after(1)
    });
    strict.half_open().await;
    let probe = strict.start();
    advance(30 * SECOND).await;
    probe.succeeds();
    assert_eq!(strict.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn late_results_change_nothing_and_free_no_place() {
    let mut stage = stage(|it| it.half_open_calls(1).close_after(1));
    let late: Vec<_> = (0..4).map(|_| stage.start()).collect();
    stage.half_open().await;
    let probe = stage.start();

    let outcomes = [
        Outcome::Success,
        failure(FailureKind::Server),
        Outcome::Ignored,
    ];
    let mut late = late.into_iter();
    for outcome in outcomes {
        late.next().unwrap().ends(outcome);
    }
    drop(late);

    assert_eq!(stage.state(), State::HalfOpen);
    stage.refusal();
    let counted = stage.counted().calls;
    assert_eq!(
        (counted.stale, counted.ignored, counted.cancelled),
        (2, 1, 1)
    );
    assert_eq!((counted.success, counted.failure), (0, 0));
    probe.succeeds();
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_outlives_its_half_open_is_late_too() {
    let mut stage = stage(|it| it.open_for(5 * SECOND).half_open_calls(1).close_after(1));
    stage.half_open().await;
    let first = stage.start();
    advance(5 * SECOND).await;
    assert_eq!(stage.state(), State::Open);
    advance(5 * SECOND).await;
    let second = stage.start();

    first.succeeds();

    assert_eq!(stage.state(), State::HalfOpen);
    stage.refusal();
    second.fails();
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_hangs_keeps_it_half_open_no_longer_than_its_bound() {
    let mut stage = stage(|it| {
        it.half_open_calls(1)
            .half_open_timeout(9 * SECOND)
            .open_for(4 * SECOND)
    });
    stage.half_open().await;
    let _hangs = stage.start();

    advance(9 * SECOND).await;

    // It has been open since the bound, whenever somebody looks.
    advance(SECOND).await;
    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.refusal().retry_after(), Some(3 * SECOND));
    advance(3 * SECOND).await;
    stage.start().succeeds();
    assert_eq!(stage.state(), State::HalfOpen);
}

#[tokio::test(start_paused = true)]
async fn the_open_time_grows_while_probes_fail_and_starts_again_after_a_close() {
    let mut stage = stage(|it| {
        it.min_calls(1)
            .close_after(1)
            .open_for(SECOND)
            .open_backoff(2.0, 6 * SECOND)
    });
    let mut times = Vec::new();
    for _ in 0..5 {
        stage.play("F").await;
        let time = stage.refusal().retry_after().unwrap();
        times.push(time.as_secs());
        advance(time).await;
    }
    assert_eq!(times, [1, 2, 4, 6, 6]);

    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
    stage.play("F").await;
    assert_eq!(stage.refusal().retry_after(), Some(SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_probe_may_ask_to_be_left_alone() {
    let mut stage = stage(|it| it.obey_retry_after(true).half_open_failure_rate(1.0));
    stage.half_open().await;

    stage.start().ends(unavailable_for(90 * SECOND));

    assert_eq!(stage.refusal().retry_after(), Some(90 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_the_open_times_of_breakers() {
    let mut times = Vec::new();
    for seed in 0..20 {
        let mut stage = stage(|it| {
            it.min_calls(1)
                .open_jitter(0.5)
                .open_for(10 * SECOND)
                .seed(seed)
        });
        stage.play("F").await;
        times.push(stage.refusal().retry_after().unwrap());
    }

    assert!(
        times
            .iter()
            .all(|time| (5.0..=15.0).contains(&time.as_secs_f64()))
    );
    times.sort_unstable();
    times.dedup();
    assert!(times.len() > 15);
    assert!(times[0] < Duration::from_secs(8) && times.last() > Some(&Duration::from_secs(12)));
}
