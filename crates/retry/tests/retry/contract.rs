//! The contract of all layers.

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use watertight_contract::{Contract, spawnable};
use watertight_core::{Always, BoxError, Mode, Never};
use watertight_http::HttpExt;
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

#[test]
fn a_retry_layer_keeps_the_contract() {
    Contract::new(|| {
        RetryLayer::builder("contract")
            .repeat(Always)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("it only calls again")
    .check();
}

#[test]
fn a_retry_layer_that_may_not_repeat_keeps_the_contract() {
    Contract::new(|| {
        RetryLayer::builder("contract")
            .repeat(Never)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("it only calls again")
    .check();
}

#[test]
fn a_retry_layer_in_shadow_keeps_the_contract() {
    Contract::new(|| {
        RetryLayer::builder("contract")
            .repeat(Always)
            .mode(Mode::Shadow)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("it only counts")
    .check();
}

#[tokio::test]
async fn a_call_of_a_retry_layer_can_be_spawned() {
    let layer = RetryLayer::builder("contract")
        .repeat(Always)
        .registry(&Registry::new())
        .build();
    let call = spawnable!(layer, 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}

/// The body whose error is in its type.
type BoxedBody = UnsyncBoxBody<Bytes, BoxError>;

#[tokio::test]
async fn a_call_with_a_boxed_body_can_be_spawned() {
    let layer = RetryLayer::builder("contract")
        .registry(&Registry::new())
        .http()
        .build();
    let request = Request::new(BoxedBody::default());

    let call = spawnable!(layer, request, |_| Response::new(BoxedBody::default()));

    tokio::spawn(call).await.unwrap().unwrap();
}
