//! A look at a live timeout, and a hand on it.

use std::time::Duration;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok};
use watertight_core::{Mode, Reason};
use watertight_timeout::{Adaptive, TimeLimit, TimeoutConfig, TimeoutHandle};

use crate::stage::{LIMIT, MS, Stage, reason, stage};

#[tokio::test(start_paused = true)]
async fn new_settings_are_for_the_calls_that_come() {
    let mut stage = stage();
    let (mut early, _one) = stage.start("pay");
    let longer = TimeoutConfig {
        limit: TimeLimit::Fixed(3 * LIMIT),
        ..stage.timeout.config()
    };
    stage.timeout.reconfigure(longer).unwrap();
    let (mut late, _two) = stage.start("pay");

    advance(LIMIT + MS).await;
    assert_eq!(reason(&mut early), Reason::TimedOut);
    assert_pending!(late.poll());
    advance(2 * LIMIT).await;
    assert_eq!(reason(&mut late), Reason::TimedOut);
    assert_eq!(stage.timeout.timeout(), Some(3 * LIMIT));
}

#[tokio::test(start_paused = true)]
async fn invalid_settings_change_nothing() {
    let stage = stage();

    let error = stage.timeout.reconfigure(TimeoutConfig {
        limit: TimeLimit::Fixed(Duration::ZERO),
        ..TimeoutConfig::default()
    });

    assert!(error.is_err());
    assert_eq!(stage.timeout.timeout(), Some(LIMIT));
}

#[tokio::test(start_paused = true)]
async fn a_fixed_limit_may_become_an_adaptive_one_and_back() {
    let stage = stage();
    let fixed = stage.timeout.config();
    let adaptive = TimeoutConfig {
        limit: Adaptive::default().into(),
        ..stage.timeout.config()
    };

    stage.timeout.reconfigure(adaptive.clone()).unwrap();
    assert_eq!(stage.timeout.timeout(), Some(Adaptive::MAX));
    assert_eq!(stage.timeout.config(), adaptive);

    stage.timeout.reconfigure(fixed).unwrap();
    assert_eq!(stage.timeout.timeout(), Some(LIMIT));
}

#[tokio::test(start_paused = true)]
async fn is_found_by_its_name_and_gone_with_its_layer() {
    let stage = stage();
    let found: TimeoutHandle = stage.registry.find("payments").unwrap();
    found.set_mode(Mode::Shadow);
    assert_eq!(stage.timeout.snapshot().mode, Mode::Shadow);
    assert_eq!(found.name(), "payments");

    let registry = stage.registry.clone();
    drop((found, stage));
    assert!(registry.find::<TimeoutHandle>("payments").is_none());
}

#[tokio::test(start_paused = true)]
async fn metrics_say_what_is_in_force_and_what_was_ended() {
    let mut stage = stage();
    let (mut call, _answer) = stage.start("pay");
    advance(LIMIT + MS).await;
    reason(&mut call);

    let recorder = DebuggingRecorder::new();
    with_local_recorder(&recorder, || stage.registry.publish());

    let metrics = recorder.snapshotter().snapshot().into_vec();
    let of = |name: &str, label: &str| {
        let (_, _, _, value) = metrics.iter().find(|(key, ..)| {
            let key = key.key();
            key.name() == name && key.labels().any(|it| it.value() == label)
        })?;
        Some(value)
    };
    assert_eq!(
        of("watertight_timeout_seconds", "payments"),
        Some(&DebugValue::Gauge(0.1.into()))
    );
    assert_eq!(
        of("watertight_rejections_total", "timed_out"),
        Some(&DebugValue::Counter(1))
    );
    assert_eq!(
        of("watertight_calls_total", "rejected"),
        Some(&DebugValue::Counter(1))
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_has_counted_is_told_as_it_goes_and_what_outlives_it_later() {
    let recorder = DebuggingRecorder::new();
    let mut stage = stage();
    for _ in 0..2 {
        let (mut call, answer) = stage.start("pay");
        answer.send_response("paid");
        assert_ready_ok!(call.poll());
    }
    let (mut call, answer) = stage.start("pay");
    let Stage {
        service,
        timeout,
        registry,
        ..
    } = stage;
    let successes = || {
        with_local_recorder(&recorder, || registry.publish());
        let published = recorder.snapshotter().snapshot().into_vec();
        published.into_iter().find_map(|(key, _, _, value)| {
            let is_success = key.key().labels().any(|label| label.value() == "success");
            is_success.then_some(value)
        })
    };

    drop((service, timeout));
    assert_eq!(successes(), Some(DebugValue::Counter(2)));

    answer.send_response("paid");
    assert_ready_ok!(call.poll());
    drop(call);
    assert_eq!(successes(), Some(DebugValue::Counter(1)));
}
