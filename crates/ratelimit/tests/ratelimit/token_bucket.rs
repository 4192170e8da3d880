//! What passes, and what is said to who does not.

use tokio::time::advance;
use tower::Layer;
use watertight_ratelimit::{Quota, TokenBucketLayer};

use crate::stage::{Echo, MS, SECOND, answered, bucket, call, refusal};

#[tokio::test(start_paused = true)]
async fn a_burst_passes_and_then_what_comes_in() {
    let mut api = bucket(Quota::per_second(10).burst(3)).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 10), 3);
    advance(250 * MS).await;
    assert_eq!(answered(&mut api, "get", 10), 2);
    advance(60 * SECOND).await;
    assert_eq!(answered(&mut api, "get", 10), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_to_ask_again_and_how_the_quota_stands() {
    let mut api = bucket(Quota::per_second(10)).burst(2).build().layer(Echo);
    answered(&mut api, "get", 2);
    advance(30 * MS).await;

    let rejection = refusal(&mut api, "get");

    assert_eq!(rejection.name(), "api");
    assert_eq!(rejection.retry_after(), Some(70 * MS));
    let quota = rejection.quota().unwrap();
    assert_eq!(quota.policy.as_str(), "api");
    assert_eq!((quota.limit, quota.remaining), (2, 0));
    assert_eq!((quota.reset, quota.window), (170 * MS, 200 * MS));
    advance(70 * MS).await;
    assert_eq!(call(&mut api, "get").unwrap(), "get");
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_what_it_costs_or_nothing() {
    let layer = bucket(Quota::per_second(10)).cost(|cost: &u64| *cost);
    let mut api = layer.build().layer(Echo);

    assert_eq!(call(&mut api, 7).unwrap(), 7);
    assert_eq!(refusal(&mut api, 4).retry_after(), Some(100 * MS));
    assert_eq!(call(&mut api, 3).unwrap(), 3);
    assert_eq!(call(&mut api, 0).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn what_costs_nothing_passes_whatever_is_owed() {
    let layer = bucket(Quota::per_second(10)).cost(|cost: &u64| *cost);
    let layer = layer.build();
    let mut api = layer.layer(Echo);
    layer.handle().penalize(15);

    refusal(&mut api, 1);
    assert_eq!(call(&mut api, 0).unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_cost_that_no_waiting_can_meet_has_no_time_to_ask_again() {
    let layer = bucket(Quota::per_second(10)).cost(|cost: &u64| *cost);
    let mut api = layer.build().layer(Echo);

    let rejection = refusal(&mut api, 11);

    assert_eq!(rejection.retry_after(), None);
    assert_eq!(rejection.quota().unwrap().remaining, 10);
}

#[tokio::test(start_paused = true)]
async fn all_of_several_quotas_have_to_be_met() {
    let layer = bucket(Quota::per_second(10)).and(Quota::per_hour(15));
    let mut api = layer.build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 20), 10);
    advance(SECOND).await;
    assert_eq!(answered(&mut api, "get", 20), 5);

    let rejection = refusal(&mut api, "get");
    assert_eq!(rejection.quota().unwrap().policy.as_str(), "api/2");
    assert_eq!(rejection.retry_after(), Some(239 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn services_and_layers_that_are_clones_take_from_the_same() {
    let layer = bucket(Quota::per_second(4)).build();
    let handle = layer.handle();
    let layers = [layer.clone(), layer];

    for layer in &layers {
        let mut service = layer.layer(Echo);
        call(&mut service.clone(), "get").unwrap();
        assert_eq!(answered(&mut service, "get", 1), 1);
    }

    assert_eq!(handle.peek(1).status.remaining, 0);
}

#[test]
#[should_panic(expected = "`quota.tokens` is 0, but must be in 1..=1000000000")]
fn an_invalid_quota_is_named_when_the_layer_is_built() {
    let _ = TokenBucketLayer::new("api", Quota::per_second(0));
}
