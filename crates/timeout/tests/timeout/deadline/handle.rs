use std::time::Duration;

use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready};
use watertight_core::{Mode, Reason};
use watertight_metrics::Registry;
use watertight_timeout::{
    DeadlineConfig, DeadlineHandle, PropagateDeadlineConfig, PropagateDeadlineHandle,
    PropagateDeadlineLayer,
};

use super::stage::{S, WITHIN, reason, stage};

#[tokio::test(start_paused = true)]
async fn is_found_by_its_name() {
    let stage = stage(|it| it.hop("orders"));

    let found: DeadlineHandle = stage.registry.find("inbound").unwrap();

    assert_eq!(found.name(), "inbound");
    assert_eq!(found.config().within, WITHIN);
    let counted = stage.counted();
    assert_eq!(counted.kind, "deadline");
    assert_eq!(counted.config["within"], "10s");
    assert_eq!(counted.config["hop"], "orders");
}

#[tokio::test(start_paused = true)]
async fn new_settings_are_for_the_calls_that_come() {
    let mut stage = stage(|it| it);
    let mut before = stage.call(None);
    assert_pending!(before.poll());

    stage
        .handle
        .reconfigure(DeadlineConfig::new(2 * S))
        .unwrap();
    let mut after = stage.call(None);
    assert_pending!(after.poll());
    advance(2 * S).await;

    assert_pending!(before.poll());
    assert_eq!(
        reason(assert_ready!(after.poll())),
        Reason::DeadlineExceeded
    );
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_leave_the_old_ones_in_force() {
    let mut stage = stage(|it| it);

    let error = stage
        .handle
        .reconfigure(DeadlineConfig::new(Duration::ZERO))
        .unwrap_err();

    assert_eq!(error.field(), "within");
    let _call = stage.call(None);
    let deadline = stage.backend.contexts()[0].deadline;
    assert_eq!(deadline, Some(Instant::now() + WITHIN));
}

#[tokio::test(start_paused = true)]
async fn the_mode_changes_for_the_calls_that_come() {
    let mut stage = stage(|it| it);
    stage.handle.set_mode(Mode::Shadow);

    let mut call = stage.call(Some(Duration::ZERO));

    assert_pending!(call.poll());
    assert_eq!(stage.handle.snapshot().mode, Mode::Shadow);
    assert_eq!(stage.counted().mode, Mode::Shadow);
}

#[test]
fn what_passes_deadlines_on_is_found_too() {
    let registry = Registry::new();
    let _layer = PropagateDeadlineLayer::builder("payments")
        .registry(&registry)
        .build();

    let found: PropagateDeadlineHandle = registry.find("payments").unwrap();

    assert_eq!(found.config(), PropagateDeadlineConfig::default());
    found.set_mode(Mode::Off);
    assert_eq!(found.snapshot().mode, Mode::Off);
    let config = PropagateDeadlineConfig {
        at_most: Some(Duration::ZERO),
        ..PropagateDeadlineConfig::default()
    };
    assert_eq!(found.reconfigure(config).unwrap_err().field(), "at_most");
    let config = PropagateDeadlineConfig {
        least: S,
        ..PropagateDeadlineConfig::default()
    };
    found.reconfigure(config).unwrap();
    assert_eq!(registry.snapshot().instances[0].config["least"], "1s");
}
