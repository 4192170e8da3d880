//! The contract of all layers.

use std::time::Duration;

use watertight_bulkhead::{BulkheadBuilder, BulkheadLayer, Limit, Order};
use watertight_contract::{Answer, Contract, Request, spawnable};
use watertight_core::{Key, Mode, Priority};
use watertight_metrics::Registry;

fn builder(limit: impl Into<Limit>) -> BulkheadBuilder {
    BulkheadLayer::builder("contract", limit).registry(&Registry::new())
}

#[test]
fn a_bulkhead_keeps_the_contract() {
    Contract::new(|| builder(4).build())
        .refuses_after(4, Answer::Pending)
        .check();
}

#[test]
fn a_bulkhead_with_slots_in_its_stripes_keeps_the_contract() {
    Contract::new(|| builder(90).build())
        .refuses_after(90, Answer::Pending)
        .check();
}

#[test]
fn a_bulkhead_with_a_queue_keeps_the_contract() {
    // The one that waits would end the suite's waiting, which lasts an hour.
    Contract::new(|| {
        builder(4)
            .max_queue(1)
            .max_wait(Duration::from_secs(7200))
            .build()
    })
    .refuses_after(5, Answer::Pending)
    .check();
}

#[test]
fn a_bulkhead_with_shares_keeps_the_contract() {
    Contract::new(|| {
        builder(10)
            .order(Order::Priority)
            .max_queue(1)
            .max_wait(Duration::from_secs(7200))
            .reserve(Priority::Critical, 0.2)
            .partition("all", 0.5)
            .partition_by(|_: &Request| Some("all"))
            .bypass(|_: &Request| false)
            .build()
    })
    .refuses_after(9, Answer::Pending)
    .check();
}

#[test]
fn a_bulkhead_with_keys_keeps_the_contract() {
    Contract::new(|| {
        builder(4)
            .key(|_: &Request| Key::of("all"))
            .total(3)
            .build()
    })
    .refuses_after(3, Answer::Pending)
    .check();
}

#[test]
fn bulkheads_that_learn_keep_the_contract() {
    for (limit, first) in [
        // It begins with a probe, at half of 20.
        (Limit::adaptive(), 10),
        (Limit::aimd(), 20),
        (Limit::vegas(), 20),
        (Limit::gradient(), 20),
    ] {
        assert_eq!(limit.initial(), first);
        Contract::new(move || builder(limit.clone()).build())
            .refuses_after(first, Answer::Pending)
            .check();
    }
}

#[test]
fn a_bulkhead_in_shadow_keeps_the_contract() {
    Contract::new(|| builder(4).mode(Mode::Shadow).build())
        .never_refuses("it only counts")
        .check();
}

#[test]
fn a_bulkhead_that_is_off_keeps_the_contract() {
    Contract::new(|| builder(4).mode(Mode::Off).build())
        .never_refuses("it does nothing")
        .check();
}

#[tokio::test]
async fn a_call_of_a_bulkhead_can_be_spawned() {
    let call = spawnable!(builder(1).build(), 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
