//! The contract of all layers.

use std::time::Duration;

use watertight_contract::Contract;
use watertight_core::{Always, Mode, Never};
use watertight_hedge::HedgeLayer;
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
