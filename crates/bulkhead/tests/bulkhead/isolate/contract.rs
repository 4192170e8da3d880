//! The contract of all layers. Threads keep their own time: the suite plays on a runtime.

use watertight_contract::{Answer, Contract, Rule, spawnable};
use watertight_core::Mode;

use super::stage::{builder, builder_here};

#[test]
fn an_isolating_layer_keeps_the_contract() {
    let elsewhere = "the call runs elsewhere";
    let at_work = "a place is free when the call is dropped that had it, and that runs elsewhere";
    Contract::new(|| builder_here(4).build())
        .refuses_after(4, Answer::Pending)
        .except(Rule::AnswersAtOnce, elsewhere)
        .except(Rule::DropUnpolled, at_work)
        .except(Rule::DropPolled, at_work)
        .except(Rule::DropsInner, at_work)
        .except(Rule::WakesResponse, elsewhere)
        .except(Rule::NoSpinning, elsewhere)
        .except(Rule::Allocations, "to run a call elsewhere takes memory")
        .check();
}

#[test]
fn one_that_is_off_keeps_the_contract() {
    Contract::new(|| builder(4).mode(Mode::Off).build())
        .never_refuses("it does nothing")
        .check();
}

#[tokio::test]
async fn a_call_that_is_isolated_can_be_spawned() {
    let call = spawnable!(builder_here(1).build(), 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
