//! The contract of all layers.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use watertight_contract::{Contract, spawnable};
use watertight_core::{Always, BoxError, Mode, Never};
use watertight_hedge::HedgeLayer;
use watertight_http::HttpExt;
use watertight_metrics::Registry;

const WHY: &str = "a hedge refuses nothing";

#[test]
fn a_hedge_by_a_percentile_keeps_the_contract() {
    Contract::new(|| {
        HedgeLayer::builder("contract")
            .repeat(Always)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_hedge_by_a_delay_keeps_the_contract() {
    Contract::new(|| {
        HedgeLayer::builder("contract")
            .repeat(Always)
            .after(Duration::from_secs(7200))
            .max_hedges(4)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_hedge_by_a_closure_keeps_the_contract() {
    Contract::new(|| {
        HedgeLayer::builder("contract")
            .repeat(Always)
            .min_samples(1)
            .after_fn(|latencies| Some(latencies.quantile(0.9)?.max(Duration::from_secs(7200))))
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_hedge_in_shadow_keeps_the_contract() {
    Contract::new(|| {
        HedgeLayer::builder("contract")
            .repeat(Always)
            .after(Duration::from_millis(1))
            .mode(Mode::Shadow)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[test]
fn a_hedge_that_is_off_keeps_the_contract() {
    Contract::new(|| {
        HedgeLayer::builder("contract")
            .repeat(Never)
            .mode(Mode::Off)
            .registry(&Registry::new())
            .build()
    })
    .never_refuses(WHY)
    .check();
}

#[tokio::test]
async fn a_call_that_is_hedged_can_be_spawned() {
    let layer = HedgeLayer::builder("contract")
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
    let layer = HedgeLayer::builder("contract")
        .registry(&Registry::new())
        .http()
        .build();
    let request = Request::new(BoxedBody::default());

    let call = spawnable!(layer, request, |_| Response::new(BoxedBody::default()));

    tokio::spawn(call).await.unwrap().unwrap();
}
