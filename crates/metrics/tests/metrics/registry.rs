//! How layers are listed and found again.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};
use watertight_core::{Mode, Reason};
use watertight_metrics::{
    LatencySnapshot, Registry, RejectionCount, SignalsHandle, SignalsLayer, What,
};

use crate::fake::{Fake, FakeHandle};

#[test]
fn a_dropped_layer_disappears() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    assert_eq!(registry.snapshot().instances.len(), 1);

    drop(fake);

    assert!(registry.snapshot().instances.is_empty());
    assert!(registry.find::<FakeHandle>("payments").is_none());
}

#[test]
fn a_new_layer_sweeps_the_dead_ones_away() {
    let registry = Registry::new();
    drop(Fake::new(&registry, "breaker", "dead"));

    let _fake = Fake::new(&registry, "breaker", "alive");

    assert_eq!(format!("{registry:?}"), r#"{("breaker", "alive")}"#);
}

#[test]
fn finds_the_newest_of_a_name_or_all() {
    let registry = Registry::new();
    let old = Fake::new(&registry, "breaker", "payments");
    let new = Fake::new(&registry, "breaker", "payments");
    let _other = Fake::new(&registry, "breaker", "inventory");

    let found: FakeHandle = registry.find("payments").unwrap();
    let all: Vec<FakeHandle> = registry.find_all("payments");

    assert!(Arc::ptr_eq(&found.0, &new));
    assert_eq!(all.len(), 2);
    assert!(Arc::ptr_eq(&all[0].0, &old) && Arc::ptr_eq(&all[1].0, &new));
    drop((found, all, new));
    let found: FakeHandle = registry.find("payments").unwrap();
    assert!(Arc::ptr_eq(&found.0, &old));
}

#[test]
fn a_handle_finds_only_layers_of_its_kind() {
    let registry = Registry::new();
    let layer = SignalsLayer::builder("payments")
        .registry(&registry)
        .build();
    let _fake = Fake::new(&registry, "breaker", "payments");

    let found: SignalsHandle = registry.find("payments").unwrap();

    assert_eq!(found.name(), layer.handle().name());
    assert_eq!(registry.find_all::<FakeHandle>("payments").len(), 1);
}

#[test]
fn one_event_warns_of_a_second_layer_of_a_kind_and_name() {
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let first = Fake::new(&registry, "breaker", "payments");
    let _other_kind = Fake::new(&registry, "bulkhead", "payments");
    let _other_name = Fake::new(&registry, "breaker", "inventory");

    let second = Fake::new(&registry, "breaker", "payments");

    let event = assert_ready!(spawn(events.next()).poll()).unwrap().unwrap();
    assert_eq!((event.layer, event.name.as_str()), ("breaker", "payments"));
    assert_eq!(event.what, What::NameTaken);
    assert_eq!(registry.snapshot().instances.len(), 4);

    drop((first, second));
    let _alone = Fake::new(&registry, "breaker", "payments");
    assert_pending!(spawn(events.next()).poll());
}

#[test]
fn a_snapshot_is_plain_data() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    fake.go_to("closed");
    fake.go_to("open");
    fake.set(|looks| {
        looks.calls.failure = 3;
        looks.rejections = vec![RejectionCount {
            reason: Reason::CircuitOpen,
            mode: Mode::Shadow,
            count: 2,
        }];
        looks.in_flight = Some(1);
        looks.latency = Some(LatencySnapshot {
            p50: Some(Duration::from_millis(250)),
            ..LatencySnapshot::default()
        });
        looks.config.insert("failure_rate", "0.5".into());
    });

    let json = serde_json::to_value(registry.snapshot()).unwrap();

    assert_eq!(
        json,
        json!({"instances": [{
            "kind": "breaker",
            "name": "payments",
            "state": "open",
            "mode": "enforce",
            "calls": {
                "success": 0, "failure": 3, "ignored": 0,
                "rejected": 0, "cancelled": 0, "stale": 0,
            },
            "rejections": [{"reason": Reason::CircuitOpen.as_str(), "mode": "shadow", "count": 2}],
            "transitions": [{"from": "closed", "to": "open", "count": 1}],
            "in_flight": 1,
            "latency": {"p50": 0.25, "p95": null, "p99": null, "p999": null},
            "config": {"failure_rate": "0.5"},
        }]})
    );
}
