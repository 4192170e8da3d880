use tower::Layer;
use watertight_core::{ConfigError, Key};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, StoreError, StoredHandle};
use watertight_ratelimit::{Quota, TokenBucket, TokenBucketConfig, TokenBucketHandle};

use super::fake::Behaviour::{AnswersAtOnce, Errs, NeverAnswers};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, answered, bucket, counted};

#[tokio::test(start_paused = true)]
async fn by_hand_the_store_is_asked() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(10)).build();
    let handle = layer.handle();

    assert!(handle.take(4).await.unwrap().admitted);
    assert_eq!(handle.at_most(9).await.unwrap(), 6);
    assert!(!handle.peek(1).await.unwrap().admitted);
    handle.refund(5).await.unwrap();
    handle.penalize(2).await.unwrap();
    assert_eq!(handle.peek(0).await.unwrap().status.remaining, 3);

    let acts = store.acts();
    assert_eq!(acts[2..4], [Act::Peek(1), Act::GiveBack(5)]);
}

#[tokio::test(start_paused = true)]
async fn a_key_and_a_plan_have_handles() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(10)).plan("pro", Quota::per_second(20));
    let layer = layer.build();
    let acme = layer.handle().key(Key::of("acme"));
    let pro = acme.plan("pro").unwrap();

    assert_eq!(acme.at_most(99).await.unwrap(), 10);
    assert_eq!(pro.at_most(99).await.unwrap(), 20);
    assert!(acme.plan("gold").is_none());
    assert_eq!(store.asked()[1].policy, "api/pro");
}

#[tokio::test(start_paused = true)]
async fn a_failure_of_the_store_is_told() {
    let store = Fake::that(Errs);
    let layer = bucket_in(&store, Quota::per_second(10)).build();

    let error = layer.handle().take(1).await.unwrap_err();
    assert_eq!(error.to_string(), "the store failed: the store is full");
    store.behave(NeverAnswers);
    let error = layer.handle().take(1).await.unwrap_err();
    assert!(matches!(error, StoreError::TimedOut));

    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.failed, snapshot.timed_out), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_registry_knows_it_from_a_limit_of_the_process() {
    let registry = Registry::new();
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(10)).registry(&registry);
    let _layer = layer.build();

    assert!(registry.find::<TokenBucketHandle>("api").is_none());
    let handle: StoredHandle<TokenBucket> = registry.find("api").unwrap();
    assert_eq!(handle.name(), "api");
    assert_eq!(counted(&registry).utilization, None);

    let registry = Registry::new();
    let limit = bucket(Quota::per_second(10)).registry(&registry);
    let _limit = limit.build();
    assert!(registry.find::<StoredHandle<TokenBucket>>("api").is_none());
}

#[tokio::test(start_paused = true)]
async fn other_quotas_hold_from_the_next_call_on() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(3)).build();
    let mut api = layer.layer(Echo);
    assert_eq!(answered(&mut api, "get", 9), 3);

    let config = TokenBucketConfig::new(Quota::per_second(5));
    layer.handle().reconfigure(config).unwrap();
    assert_eq!(answered(&mut api, "get", 9), 2);

    let invalid = TokenBucketConfig::new(Quota::per_second(0));
    assert!(layer.handle().reconfigure(invalid).is_err());
    assert_eq!(answered(&mut api, "get", 9), 0);
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_the_store_cannot_keep_is_refused_before_any_call() {
    let store = Fake::that(AnswersAtOnce);
    let too_much = Quota::per_second(Fake::MOST + 1);
    let field = |made: Result<(), ConfigError>| made.unwrap_err().field().to_owned();

    assert_eq!(
        field(bucket_in(&store, too_much).try_build().map(drop)),
        "quota.tokens"
    );
    let plan = bucket_in(&store, Quota::per_second(1)).plan("pro", too_much);
    assert_eq!(field(plan.lease(10).try_build().map(drop)), "quota.tokens");

    let layer = bucket_in(&store, Quota::per_second(1)).build();
    let changed = layer.handle().reconfigure(TokenBucketConfig::new(too_much));
    assert_eq!(field(changed), "quota.tokens");
    let mut api = layer.layer(Echo);
    assert_eq!(answered(&mut api, "get", 9), 1);
}
