//! The contract of all layers.

use watertight_contract::Contract;
use watertight_core::{Always, Mode, Never};
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
