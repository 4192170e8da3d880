//! The contract of all layers.

use std::time::Duration;

use watertight_breaker::{BreakerLayer, Recovery};
use watertight_contract::{Answer, Contract, Request, spawnable};
use watertight_core::{Key, Mode, Window};
use watertight_metrics::Registry;

#[test]
fn a_breaker_keeps_the_contract() {
    Contract::new(|| {
        BreakerLayer::builder("contract")
            .registry(&Registry::new())
            .build()
    })
    .refuses_after(20, Answer::Error)
    .check();
}

#[test]
fn a_breaker_that_times_calls_keeps_the_contract() {
    Contract::new(|| {
        BreakerLayer::builder("contract")
            .window(Window::time(Duration::from_secs(10)))
            .slow_call(Duration::from_secs(1))
            .recovery(Recovery::ramp(Duration::from_secs(30)))
            .registry(&Registry::new())
            .build()
    })
    .refuses_after(20, Answer::Error)
    .check();
}

#[test]
fn a_breaker_with_keys_keeps_the_contract() {
    Contract::new(|| {
        BreakerLayer::builder("contract")
            .key(|_: &Request| Key::of("all"))
            .registry(&Registry::new())
            .build()
    })
    .refuses_after(20, Answer::Error)
    .check();
}

#[test]
fn a_breaker_in_shadow_keeps_the_contract() {
    Contract::new(|| {
        BreakerLayer::builder("contract")
            .mode(Mode::Shadow)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("it only counts")
    .check();
}

#[tokio::test]
async fn a_call_of_a_breaker_can_be_spawned() {
    let layer = BreakerLayer::builder("contract")
        .registry(&Registry::new())
        .build();
    let call = spawnable!(layer, 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
