//! The contract of all layers.

use watertight_contract::{Contract, spawnable};
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

#[tokio::test]
async fn a_call_with_signals_can_be_spawned() {
    let layer = SignalsLayer::builder("contract")
        .registry(&Registry::new())
        .build();
    let call = spawnable!(layer, 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
