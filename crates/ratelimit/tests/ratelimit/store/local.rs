//! What a process limits by itself when the store fails.

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{Layer, Service};
use watertight_core::{Context, Key, Reason};
use watertight_metrics::Registry;
use watertight_ratelimit::store::OnStoreFailure;
use watertight_ratelimit::{LeakyBucketLayer, Quota, TokenBucketConfig};

use super::fake::Behaviour::{AnswersAtOnce, Errs};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, MS, SECOND, answered, call, refusal};

#[tokio::test(start_paused = true)]
async fn by_default_each_process_limits_by_all_of_the_quota() {
    let store = Fake::that(Errs);
    let mut api = bucket_in(&store, Quota::per_second(10)).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 30), 10);
    advance(SECOND / 2).await;
    assert_eq!(answered(&mut api, "get", 30), 5);
}

#[tokio::test(start_paused = true)]
async fn a_share_is_granted_of_each_key_and_plan_and_of_the_total_all() {
    let store = Fake::that(Errs);
    let mut api = bucket_in(&store, Quota::per_second(8))
        .on_store_failure(OnStoreFailure::Local(0.25))
        .plan("pro", Quota::per_second(40))
        .plan_by(|call: &(&str, Option<&'static str>)| call.1)
        .key(|call: &(&str, Option<&str>)| Key::of(call.0))
        .total(Quota::per_hour(20))
        .build()
        .layer(Echo);

    assert_eq!(answered(&mut api, ("acme", None), 30), 2);
    assert_eq!(answered(&mut api, ("globex", None), 30), 2);
    assert_eq!(answered(&mut api, ("acme", Some("pro")), 30), 10);
    assert_eq!(answered(&mut api, ("globex", Some("pro")), 30), 6);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_of_its_own_says_what_it_is_limited_by() {
    let store = Fake::that(Errs);
    let layer = bucket_in(&store, Quota::per_second(8));
    let layer = layer.on_store_failure(OnStoreFailure::Local(0.25));
    let mut api = layer.build().layer(Echo);
    answered(&mut api, "get", 2);

    let rejection = refusal(&mut api, "get");

    assert_eq!(rejection.retry_after(), Some(SECOND / 2));
    assert_eq!(rejection.quota().unwrap().limit, 2);
}

#[tokio::test(start_paused = true)]
async fn a_penalty_that_the_store_does_not_take_is_charged_here() {
    let store = Fake::that(Errs);
    let mut api = bucket_in(&store, Quota::per_hour(10))
        .penalty(|_| 6)
        .build()
        .layer(Echo);

    call(&mut api, "get").unwrap();
    tokio::task::yield_now().await;

    assert_eq!(answered(&mut api, "get", 20), 3);
}

#[tokio::test(start_paused = true)]
async fn a_leaky_bucket_gives_turns_of_its_own_and_takes_them_back() {
    let store = Fake::that(Errs);
    let layer = LeakyBucketLayer::builder("api", Quota::per_second(20))
        .queue(4)
        .registry(&Registry::new())
        .store(store)
        .on_store_failure(OnStoreFailure::Local(0.5))
        .build();
    let mut api = layer.layer(Echo);
    call(&mut api, "first").unwrap();
    let mut second = spawn(api.call("second"));
    assert_pending!(second.poll());
    let third = spawn(api.call("third"));
    refusal(&mut api, "fourth");

    drop(third);
    let mut other = spawn(api.call("other"));
    advance(99 * MS).await;
    assert_pending!(second.poll());
    advance(MS).await;
    assert_ready_ok!(second.poll());
    assert_pending!(other.poll());
    advance(100 * MS).await;
    assert_ready_ok!(other.poll());
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_its_own_that_comes_after_the_deadline_is_too_late() {
    let store = Fake::that(Errs);
    let layer = LeakyBucketLayer::builder("api", Quota::per_second(10))
        .queue(4)
        .registry(&Registry::new());
    let mut api = layer.store(store).build().layer(Echo);
    call(&mut api, "first").unwrap();
    let context = Context {
        deadline: Some(tokio::time::Instant::now() + 50 * MS),
        ..Context::default()
    };

    let refused = context.enter(|| call(&mut api, "second")).unwrap_err();

    assert_eq!(refused.reason(), Reason::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn another_share_holds_from_then_on() {
    let store = Fake::that(Errs);
    let quota = Quota::per_hour(100);
    let layer = bucket_in(&store, quota).build();
    let mut api = layer.layer(Echo);
    assert_eq!(answered(&mut api, "get", 10), 10);

    let mut config = TokenBucketConfig::new(quota);
    config.store.on_failure = OnStoreFailure::Local(0.3);
    layer.handle().reconfigure(config).unwrap();

    assert_eq!(answered(&mut api, "get", 100), 20);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_answers_nothing_is_taken_here() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = bucket_in(&store, Quota::per_hour(10)).build().layer(Echo);
    assert_eq!(answered(&mut api, "get", 20), 10);

    store.behave(Errs);

    assert_eq!(answered(&mut api, "get", 20), 10);
}
