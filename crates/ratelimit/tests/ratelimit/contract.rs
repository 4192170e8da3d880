//! The contract of all layers.

use std::time::Duration;

use watertight_contract::{Answer, Contract, Request, spawnable};
use watertight_core::{Key, Mode};
use watertight_metrics::Registry;
use watertight_ratelimit::{
    LeakyBucket, LeakyBucketLayer, MissingKey, Quota, RateLimitBuilder, SlidingWindow,
    SlidingWindowLayer, TokenBucket, TokenBucketLayer,
};

fn builder(tokens: u64) -> RateLimitBuilder<TokenBucket> {
    let quota = Quota::new(tokens, Duration::from_secs(1));
    TokenBucketLayer::builder("contract", quota).registry(&Registry::new())
}

#[test]
fn a_token_bucket_keeps_the_contract() {
    Contract::new(|| builder(10_000).build())
        .refuses_after(10_000, Answer::Response)
        .check();
}

#[test]
fn a_token_bucket_of_several_quotas_with_costs_and_plans_keeps_the_contract() {
    Contract::new(|| {
        builder(30_000)
            .and(Quota::per_hour(20_000))
            .cost(|_: &Request| 2)
            .plan("pro", Quota::per_second(40_000))
            .plan_by(|_: &Request| Some("free"))
            .penalty(|_| 1)
            .build()
    })
    .refuses_after(10_000, Answer::Response)
    .check();
}

#[test]
fn a_token_bucket_with_keys_keeps_the_contract() {
    Contract::new(|| {
        builder(10_000)
            .key(|_: &Request| Key::of("all"))
            .total(Quota::per_second(20_000))
            .build()
    })
    .refuses_after(10_000, Answer::Response)
    .check();
}

#[test]
fn a_token_bucket_shared_by_calls_without_keys_keeps_the_contract() {
    Contract::new(|| {
        builder(10_000)
            .key(|_: &Request| None)
            .missing_key(MissingKey::Share)
            .build()
    })
    .refuses_after(10_000, Answer::Response)
    .check();
}

fn window(setting: SlidingWindow) -> RateLimitBuilder<SlidingWindow> {
    let quota = Quota::new(5_000, Duration::from_secs(1));
    SlidingWindowLayer::builder("contract", quota)
        .window(setting)
        .registry(&Registry::new())
}

#[test]
fn a_sliding_window_keeps_the_contract() {
    Contract::new(|| window(SlidingWindow::Approximate).build())
        .refuses_after(5_000, Answer::Response)
        .check();
}

#[test]
fn a_sliding_window_of_buckets_keeps_the_contract() {
    Contract::new(|| {
        window(SlidingWindow::Buckets(10))
            .key(|_: &Request| Key::of("all"))
            .build()
    })
    .refuses_after(5_000, Answer::Response)
    .check();
}

fn leaky() -> RateLimitBuilder<LeakyBucket> {
    // A turn that came within the hour would end the suite's waiting.
    let quota = Quota::new(1, Duration::from_secs(7_200));
    LeakyBucketLayer::builder("contract", quota)
        .slack(4_999)
        .registry(&Registry::new())
}

#[test]
fn a_leaky_bucket_keeps_the_contract() {
    Contract::new(|| leaky().build())
        .refuses_after(5_000, Answer::Response)
        .check();
}

#[test]
fn a_leaky_bucket_with_a_queue_keeps_the_contract() {
    Contract::new(|| leaky().queue(3).build())
        .refuses_after(5_003, Answer::Pending)
        .check();
}

#[test]
fn a_leaky_bucket_with_keys_keeps_the_contract() {
    Contract::new(|| {
        leaky()
            .key(|_: &Request| Key::of("all"))
            .total(Quota::per_second(10_000))
            .build()
    })
    .refuses_after(5_000, Answer::Response)
    .check();
}

#[test]
fn a_rate_limit_in_shadow_keeps_the_contract() {
    Contract::new(|| builder(4).mode(Mode::Shadow).build())
        .never_refuses("it only counts")
        .check();
}

#[test]
fn a_rate_limit_that_is_off_keeps_the_contract() {
    Contract::new(|| builder(4).mode(Mode::Off).build())
        .never_refuses("it does nothing")
        .check();
}

#[tokio::test]
async fn a_call_of_a_token_bucket_can_be_spawned() {
    let call = spawnable!(builder(1).build(), 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}

#[tokio::test]
async fn a_call_that_is_paced_can_be_spawned() {
    let layer = LeakyBucketLayer::builder("contract", Quota::per_second(1))
        .registry(&Registry::new())
        .build();
    let call = spawnable!(layer, 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
