//! A look at a live breaker, and a hand on it.

use std::time::Duration;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::advance;
use watertight_breaker::{BreakerConfig, BreakerHandle, State};
use watertight_core::{Mode, Window};
use watertight_metrics::{Event, StateChange, What};

use crate::stage::{SECOND, Stage, failure, stage};

#[tokio::test(start_paused = true)]
async fn opens_for_as_long_as_it_is_told() {
    let hours = Duration::from_secs(7_200);
    let mut stage = stage(|it| it.open_for(5 * SECOND).close_after(1));

    stage.breaker.open_for(hours);
    advance(hours - SECOND).await;
    assert_eq!(stage.refusal().retry_after(), Some(SECOND));

    advance(SECOND).await;
    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn forced_open_stays_so_whatever_happens() {
    let mut stage = stage(|it| it.open_for(SECOND));
    let early = stage.start();
    stage.breaker.force_open();

    advance(1_000 * SECOND).await;
    early.succeeds();

    assert_eq!(stage.state(), State::ForcedOpen);
    assert_eq!(stage.refusal().retry_after(), None);
    stage.breaker.release();
    assert_eq!(stage.state(), State::Closed);
    stage.play("S").await;
}

#[tokio::test(start_paused = true)]
async fn forced_closed_counts_and_does_not_move() {
    let mut stage = stage(|it| it.min_calls(1).consecutive_failures(1));
    stage.breaker.force_closed();

    stage.play("FFFF").await;

    assert_eq!(stage.state(), State::ForcedClosed);
    assert_eq!(stage.breaker.snapshot().failure_rate(), Some(1.0));
    assert_eq!(stage.counted().calls.failure, 4);

    stage.breaker.reset();
    assert_eq!(stage.breaker.snapshot().standing.calls, 0);
    stage.play("F").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn closing_by_hand_ends_the_open_time_for_good() {
    let mut stage = stage(|it| it.min_calls(2).open_for(SECOND));
    stage.play("FF").await;
    stage.breaker.reset();

    advance(2 * SECOND).await;

    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
    let transitions = stage.counted().transitions;
    let ways: Vec<_> = transitions.iter().map(|it| (it.from, it.to)).collect();
    assert_eq!(ways, [("closed", "open"), ("open", "closed")]);
}

#[tokio::test(start_paused = true)]
async fn starts_in_the_state_that_is_wanted() {
    let mut open = stage(|it| it.start(State::Open).open_for(9 * SECOND));
    assert_eq!(open.refusal().retry_after(), Some(9 * SECOND));

    let mut forced = stage(|it| it.start(State::ForcedOpen));
    assert_eq!(forced.refusal().retry_after(), None);

    let mut closed = stage(|it| it.start(State::ForcedClosed).min_calls(1));
    closed.play("FF").await;
    assert_eq!(closed.state(), State::ForcedClosed);
}

#[tokio::test(start_paused = true)]
async fn new_settings_keep_the_state_and_what_the_window_holds() {
    let mut stage = stage(|it| it.min_calls(10));
    stage.play("SSSFF").await;
    let slow = stage.start();

    stage
        .breaker
        .reconfigure(BreakerConfig {
            min_calls: 6,
            ..BreakerConfig::default()
        })
        .unwrap();
    assert_eq!(stage.breaker.snapshot().standing.calls, 5);
    slow.fails();

    // Three of six, by the new minimum.
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn another_window_starts_empty_and_calls_in_flight_vote_in_it() {
    let mut stage = stage(|it| it.min_calls(2));
    stage.play("SSSSSSF").await;
    let calls = [stage.start(), stage.start()];

    stage
        .breaker
        .reconfigure(BreakerConfig {
            min_calls: 2,
            window: Window::calls(10),
            ..BreakerConfig::default()
        })
        .unwrap();
    assert_eq!(stage.breaker.snapshot().standing.calls, 0);
    for call in calls {
        call.fails();
    }

    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.counted().calls.success, 6);
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_change_nothing() {
    let mut stage = stage(|it| it.consecutive_failures(1));

    let error = stage.breaker.reconfigure(BreakerConfig {
        half_open_calls: 0,
        ..BreakerConfig::default()
    });

    assert_eq!(error.unwrap_err().field(), "half_open_calls");
    stage.play("F").await;
    assert_eq!(stage.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn new_settings_time_the_calls_from_now_on() {
    let mut stage = stage(|it| it);
    let untimed = stage.start();
    stage
        .breaker
        .reconfigure(BreakerConfig {
            slow_call: Some(SECOND),
            min_calls: 1,
            ..BreakerConfig::default()
        })
        .unwrap();
    let timed = stage.start();
    advance(2 * SECOND).await;

    untimed.succeeds();
    assert_eq!(stage.state(), State::Closed);
    timed.succeeds();
    assert_eq!(stage.state(), State::Closed, "one of two calls was slow");
    assert_eq!(stage.breaker.snapshot().slow_rate(), Some(0.5));
}

#[tokio::test(start_paused = true)]
async fn is_found_by_its_name_and_says_what_it_does() {
    let mut stage = stage(|it| it.durations(true));
    for _ in 0..20 {
        let call = stage.start();
        advance(SECOND / 10).await;
        call.succeeds();
    }

    let found: BreakerHandle = stage.registry.find("payments").unwrap();
    assert_eq!(found.name(), "payments");
    assert!(stage.registry.find::<BreakerHandle>("orders").is_none());
    let snapshot = stage.counted();
    assert_eq!(snapshot.state.unwrap().current, "closed");
    assert_eq!(snapshot.config["min_calls"], "20");
    let median = snapshot.latency.unwrap().p50.unwrap();
    assert!((0.095..=0.105).contains(&median.as_secs_f64()));
    assert_eq!(snapshot.durations.unwrap().0[0].1, 20);

    found.force_open();
    assert_eq!(stage.state(), State::ForcedOpen);
}

#[tokio::test(start_paused = true)]
async fn disappears_with_its_last_service() {
    let stage = stage(|it| it);
    let Stage {
        service,
        breaker,
        registry,
        ..
    } = stage;
    drop(breaker);
    assert_eq!(registry.snapshot().instances.len(), 1);

    drop(service);

    assert_eq!(registry.snapshot().instances.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn tells_of_changes_in_their_order_and_why() {
    let mut stage = stage(|it| it.consecutive_failures(2).open_for(SECOND).close_after(1));
    let mut events = stage.registry.subscribe();

    stage.play("FF").await;
    advance(SECOND).await;
    stage.play("S").await;
    stage.breaker.set_mode(Mode::Shadow);
    stage.breaker.force_open();

    let mut told = Vec::new();
    for _ in 0..5 {
        let Event { what, .. } = events.next().await.unwrap().unwrap();
        told.push(match what {
            What::StateChanged(StateChange {
                from, to, cause, ..
            }) => format!("{from} {to} {cause}"),
            What::ModeChanged { mode } => mode.as_str().to_owned(),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(
        told,
        [
            "closed open consecutive_failures",
            "open half_open open_time_over",
            "half_open closed probes_succeeded",
            "shadow",
            "closed forced_open manual",
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn counts_each_call_once() {
    let mut stage = stage(|it| it.min_calls(100));
    stage.play("SSSSFFTI").await;
    drop(stage.start());
    stage
        .start()
        .ends(failure(watertight_core::FailureKind::Rejected));
    stage.breaker.force_open();
    stage.refusal();

    let calls = stage.counted().calls;

    let named: Vec<_> = calls.named().into_iter().map(|(_, count)| count).collect();
    assert_eq!(named, [4, 3, 2, 1, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_its_layer_is_counted() {
    let recorder = DebuggingRecorder::new();
    let mut stage = stage(|it| it);
    let call = stage.start();
    let Stage {
        service,
        breaker,
        registry,
        ..
    } = stage;
    drop((service, breaker));

    call.fails();

    with_local_recorder(&recorder, || registry.publish());
    let published = recorder.snapshotter().snapshot().into_vec();
    let failures = published.into_iter().find_map(|(key, _, _, value)| {
        let is_failure = key.key().labels().any(|label| label.value() == "failure");
        is_failure.then_some(value)
    });
    assert_eq!(failures, Some(DebugValue::Counter(1)));
}

#[tokio::test(start_paused = true)]
async fn one_state_is_published_at_a_time() {
    let recorder = DebuggingRecorder::new();
    let mut stage = stage(|it| it.consecutive_failures(1));
    stage.play("F").await;

    with_local_recorder(&recorder, || stage.registry.publish());

    let mut states = Vec::new();
    for (key, _, _, value) in recorder.snapshotter().snapshot().into_vec() {
        let key = key.key();
        if key.name() == "watertight_breaker_state"
            && let Some(state) = key.labels().find(|label| label.key() == "state")
            && let DebugValue::Gauge(value) = value
        {
            states.push((state.value().to_owned(), value.into_inner()));
        }
    }
    states.sort_by(|a, b| b.1.total_cmp(&a.1));
    assert_eq!(states.len(), 6);
    assert_eq!(states[0], ("open".to_owned(), 1.0));
    assert!(states[1..].iter().all(|(_, value)| *value == 0.0));
}

#[tokio::test(start_paused = true)]
async fn a_counter_goes_on_in_a_new_layer_while_an_old_call_lasts() {
    let recorder = DebuggingRecorder::new();
    let mut old = stage(|it| it);
    let registry = old.registry.clone();
    let successes = || {
        with_local_recorder(&recorder, || registry.publish());
        let published = recorder.snapshotter().snapshot().into_vec();
        published.into_iter().find_map(|(key, _, _, value)| {
            let is_success = key.key().labels().any(|label| label.value() == "success");
            is_success.then_some(value)
        })
    };
    old.play("SSS").await;
    let lasts = old.start();
    assert_eq!(successes(), Some(DebugValue::Counter(3)));

    drop(old);
    let mut new = stage(|it| it.registry(&registry));
    new.play("SS").await;
    assert_eq!(successes(), Some(DebugValue::Counter(2)));

    lasts.succeeds();
    assert_eq!(successes(), Some(DebugValue::Counter(1)));
}
