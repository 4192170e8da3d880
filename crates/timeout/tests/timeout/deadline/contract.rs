//! The contract of all layers.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use watertight_contract::{Answer, Contract, Request, spawnable};
use watertight_core::Mode;
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineHandle, DeadlineLayer, PropagateDeadlineLayer};

/// Longer than the suite waits for an answer.
const LONG: Duration = Duration::from_secs(7200);
const MANY: usize = 20;

#[test]
fn a_deadline_keeps_the_contract() {
    Contract::new(|| {
        DeadlineLayer::builder("contract", LONG)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("no call says that its time is over")
    .check();
}

#[test]
fn a_deadline_that_refuses_keeps_the_contract() {
    Contract::new(|| {
        // Who calls while many calls are in flight has no time left.
        let itself = Arc::new(OnceLock::<DeadlineHandle>::new());
        let handle = Arc::clone(&itself);
        let layer = DeadlineLayer::builder("contract", LONG)
            .max_refused(1.0)
            .registry(&Registry::new())
            .read(move |_: &Request| {
                let in_flight = handle.get().map_or(0, DeadlineHandle::in_flight);
                (in_flight >= MANY).then_some(Duration::ZERO)
            })
            .build();
        let _ = itself.set(layer.handle());
        layer
    })
    .refuses_after(MANY, Answer::Pending)
    .check();
}

#[test]
fn a_deadline_in_shadow_keeps_the_contract() {
    Contract::new(|| {
        DeadlineLayer::builder("contract", LONG)
            .mode(Mode::Shadow)
            .read(|_: &Request| Some(Duration::ZERO))
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("it is in shadow")
    .check();
}

#[test]
fn what_passes_deadlines_on_keeps_the_contract() {
    Contract::new(|| {
        PropagateDeadlineLayer::builder("contract")
            .at_most(LONG)
            .write(|_: &mut Request, _| {})
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("there is time enough")
    .check();
}

#[tokio::test]
async fn a_call_of_a_deadline_can_be_spawned() {
    let layer = DeadlineLayer::builder("contract", LONG)
        .registry(&Registry::new())
        .build();
    let call = spawnable!(layer, 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn a_call_that_propagates_its_deadline_can_be_spawned() {
    let layer = PropagateDeadlineLayer::builder("contract")
        .write(|_: &mut i32, _| {})
        .registry(&Registry::new())
        .build();
    let call = spawnable!(layer, 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
