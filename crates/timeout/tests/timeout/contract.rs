//! The contract of all layers.

use std::time::Duration;

use watertight_contract::{Contract, spawnable};
use watertight_core::{Key, Mode};
use watertight_metrics::Registry;
use watertight_timeout::{TimeoutBuilder, TimeoutLayer};

const WHY: &str = "a timeout refuses only what is late already";

/// Longer than the suite waits.
const LONG: Duration = Duration::from_secs(7200);

fn fixed() -> TimeoutBuilder {
    TimeoutLayer::builder("contract").registry(&Registry::new())
}

#[test]
fn a_fixed_timeout_keeps_the_contract() {
    Contract::new(|| fixed().limit(LONG).ready(LONG).build())
        .never_refuses(WHY)
        .check();
}

#[test]
fn a_timeout_per_request_keeps_the_contract() {
    Contract::new(|| {
        fixed()
            .per_request(|_: &watertight_contract::Request| Some(LONG))
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_timeout_that_measures_keeps_the_contract() {
    Contract::new(|| fixed().limit(LONG).durations(true).build())
        .never_refuses(WHY)
        .check();
}

#[test]
fn an_adaptive_timeout_keeps_the_contract() {
    Contract::new(|| {
        TimeoutLayer::adaptive("contract")
            .min(LONG)
            .max(2 * LONG)
            .warmup(10)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn an_adaptive_timeout_by_key_keeps_the_contract() {
    Contract::new(|| {
        TimeoutLayer::adaptive("contract")
            .min(LONG)
            .max(2 * LONG)
            .key(|_: &watertight_contract::Request| Key::of("one"))
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_timeout_in_shadow_keeps_the_contract() {
    Contract::new(|| {
        fixed()
            .limit(Duration::from_millis(1))
            .mode(Mode::Shadow)
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_timeout_that_is_off_keeps_the_contract() {
    Contract::new(|| fixed().mode(Mode::Off).build())
        .never_refuses(WHY)
        .check();
}

#[tokio::test]
async fn a_call_of_a_timeout_can_be_spawned() {
    let call = spawnable!(fixed().limit(LONG).build(), 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
