use std::time::Duration;

use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready};
use watertight_core::Mode;
use watertight_http::{
    BodyTimeoutConfig, RequestBodyTimeoutHandle, RequestBodyTimeoutLayer,
    ResponseBodyTimeoutHandle, ResponseBodyTimeoutLayer,
};
use watertight_metrics::Registry;

use super::stage::{Reading, S, Script, Writing, poll};

#[test]
fn each_is_found_by_its_name() {
    let registry = Registry::new();
    let read = ResponseBodyTimeoutLayer::builder("payments").frame(30 * S);
    let write = RequestBodyTimeoutLayer::builder("payments").whole(60 * S);
    let _read = read.registry(&registry).build();
    let _write = write.registry(&registry).build();

    let read: ResponseBodyTimeoutHandle = registry.find("payments").unwrap();
    let write: RequestBodyTimeoutHandle = registry.find("payments").unwrap();

    assert_eq!((read.name(), write.name()), ("payments", "payments"));
    assert_eq!(read.config().frame, Some(30 * S));
    assert_eq!(write.config().whole, Some(60 * S));
    let instances = registry.snapshot().instances;
    let shown = |kind| {
        let instance = instances.iter().find(|it| it.kind == kind).unwrap();
        instance.config.clone()
    };
    assert_eq!(shown("response_body_timeout")["frame"], "30s");
    assert_eq!(shown("request_body_timeout")["whole"], "60s");
}

#[tokio::test(start_paused = true)]
async fn new_settings_are_for_the_calls_that_come() {
    let reading = Reading::new(|it| it.frame(10 * S));
    let mut before = reading.body(&Script::default());
    assert_pending!(poll(&mut before));
    let mut writing = Writing::new(|it| it.frame(10 * S));
    let mut sent_before = writing.call();
    assert_pending!(sent_before.poll());

    let config = BodyTimeoutConfig {
        frame: Some(2 * S),
        ..BodyTimeoutConfig::default()
    };
    reading.handle.reconfigure(config).unwrap();
    writing.handle.reconfigure(config).unwrap();
    let mut after = reading.body(&Script::default());
    assert_pending!(poll(&mut after));
    let mut sent_after = writing.call();
    assert_pending!(sent_after.poll());
    advance(2 * S).await;

    assert_pending!(poll(&mut before));
    assert_pending!(sent_before.poll());
    assert!(assert_ready!(poll(&mut after)).unwrap().is_err());
    assert!(assert_ready!(sent_after.poll()).is_err());
}

#[test]
fn settings_that_cannot_be_leave_the_old_ones_in_force() {
    let reading = Reading::new(|it| it.frame(S));
    let before = reading.handle.config();

    let error = reading.handle.reconfigure(BodyTimeoutConfig {
        whole: Some(Duration::ZERO),
        ..before
    });

    assert_eq!(error.unwrap_err().field(), "whole");
    assert_eq!(reading.handle.config(), before);
}

#[tokio::test(start_paused = true)]
async fn the_mode_changes_for_the_calls_that_come() {
    let reading = Reading::new(|it| it.frame(S));
    let mut before = reading.body(&Script::default());
    assert_pending!(poll(&mut before));

    reading.handle.set_mode(Mode::Shadow);
    let mut after = reading.body(&Script::default());
    assert_pending!(poll(&mut after));
    advance(S).await;

    assert!(assert_ready!(poll(&mut before)).unwrap().is_err());
    assert_pending!(poll(&mut after));
    let looked = reading.handle.snapshot();
    assert_eq!((looked.timed_out, looked.in_shadow), (1, 1));
    assert_eq!(looked.mode, Mode::Shadow);
    assert_eq!(reading.handle.config().frame, Some(S));
}

#[test]
fn settings_make_a_layer() {
    let config = BodyTimeoutConfig {
        frame: Some(S),
        whole: Some(2 * S),
        mode: Mode::Shadow,
    };

    let layer = ResponseBodyTimeoutLayer::from_config("read", config)
        .registry(&Registry::new())
        .build();
    let refused = RequestBodyTimeoutLayer::builder("write")
        .whole(Duration::ZERO)
        .try_build();

    assert_eq!(layer.handle().config(), config);
    assert_eq!(refused.unwrap_err().field(), "whole");
}

#[test]
fn services_share_the_counts_with_those_that_outlive_the_layer() {
    let reading = Reading::new(|it| it.frame(S));
    let bodies = [&Script::default(); 2].map(|script| reading.body(script));
    assert_eq!(reading.handle.in_flight(), 2);

    let handle = reading.handle.clone();
    drop(reading);
    drop(bodies);

    assert_eq!(handle.in_flight(), 0);
}
