//! Looking at a live layer, and changing it.

use std::time::Duration;

use tokio::time::advance;
use tokio_test::{assert_pending, task};
use tower::Service;
use watertight_core::{Backoff, FailureKind, Mode};
use watertight_metrics::What;
use watertight_retry::{RetryConfig, RetryHandle, RetryLayer};

use crate::stage::{BAD, GOOD, SECOND, failure, stage};

#[tokio::test(start_paused = true)]
async fn off_calls_once_and_counts_nothing() {
    let stage = stage([BAD], |it| it.mode(Mode::Off));

    assert!(stage.call(1).await.unwrap().is_failure());

    assert_eq!(stage.backend.calls(), 1);
    assert_eq!(stage.counted().calls, Default::default());
}

#[tokio::test(start_paused = true)]
async fn can_be_turned_off_and_on() {
    let stage = stage([BAD, BAD, GOOD], |it| it);

    stage.retry.set_mode(Mode::Off);
    assert!(stage.call(1).await.unwrap().is_failure());
    assert_eq!(stage.counted().mode, Mode::Off);
    stage.retry.set_mode(Mode::Enforce);
    assert!(stage.call(1).await.unwrap().is_success());

    assert_eq!(stage.backend.calls(), 3);
    let calls = stage.counted().calls;
    assert_eq!((calls.success, calls.failure), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_below_refused_is_ignored_in_the_counts() {
    let refused = failure(FailureKind::Rejected);
    let stage = stage([refused], |it| it);

    stage.call(1).await.unwrap();

    let calls = stage.counted().calls;
    assert_eq!((calls.ignored, calls.failure), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_the_retries_that_it_does_not_make() {
    let stage = stage([BAD, GOOD], |it| it.mode(Mode::Shadow));

    assert!(stage.call(1).await.unwrap().is_failure());

    assert_eq!(stage.given_up(), [("shadow", 1)]);
    assert_eq!(stage.retry.snapshot().retries, 0);
    stage.retry.set_mode(Mode::Enforce);
    assert!(stage.call(1).await.unwrap().is_success());
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_go_by_new_settings_from_their_next_failure_on() {
    let stage = stage([BAD, BAD, BAD, BAD], |it| it);
    let mut events = stage.registry.subscribe();
    let mut service = stage.service.clone();
    let mut call = task::spawn(service.call(1));
    assert_pending!(call.poll());
    let config = RetryConfig {
        max_attempts: 2,
        backoff: Backoff::constant(SECOND),
        ..RetryConfig::default()
    };

    stage.retry.reconfigure(config).unwrap();
    advance(SECOND).await;

    assert!(call.poll().is_ready());
    assert_eq!(stage.backend.calls(), 2);
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.what, What::ConfigChanged);
}

#[tokio::test(start_paused = true)]
async fn bad_settings_are_refused_and_change_nothing() {
    let stage = stage([BAD, BAD, BAD], |it| it);
    let config = RetryConfig {
        max_attempts: 0,
        ..RetryConfig::default()
    };

    let error = stage.retry.reconfigure(config).unwrap_err().to_string();

    assert!(error.contains("max_attempts"), "{error}");
    stage.call(1).await.unwrap();
    assert_eq!(stage.backend.calls(), 3);
    let error = RetryLayer::builder("payments")
        .budget(f64::NAN)
        .try_build()
        .unwrap_err()
        .to_string();
    assert!(error.contains("NaN"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn is_found_by_its_name() {
    let stage = stage([], |it| it);

    let found: RetryHandle = stage.registry.find("payments").unwrap();

    assert_eq!(found.name(), "payments");
    assert_eq!(stage.counted().config["max_attempts"], "3");
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_counted() {
    let stage = stage([BAD, BAD], |it| it);
    let mut service = stage.service.clone();
    let calls: Vec<_> = (0..2).map(|n| task::spawn(service.call(n))).collect();

    assert_eq!(stage.retry.in_flight(), 2);
    assert_eq!(stage.counted().in_flight, Some(2));
    drop(calls);
    assert_eq!(stage.retry.in_flight(), 0);
    assert_eq!(stage.retry.snapshot().in_flight, 0);
    advance(Duration::from_secs(1)).await;
}
