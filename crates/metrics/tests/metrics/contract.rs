//! The contract of all layers.

use watertight_contract::Contract;
use watertight_metrics::{Registry, SignalsLayer};

#[test]
fn signals_keep_the_contract() {
    Contract::new(|| {
        SignalsLayer::builder("contract")
            .registry(&Registry::new())
            .build()
    })
    .never_refuses("it only measures")
    .check();
}
