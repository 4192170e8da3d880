use tokio::task::yield_now;
use tokio::time::{Instant, advance};
use tower::{Layer, Service};
use watertight_core::{Mode, Reason};
use watertight_metrics::Registry;
use watertight_ratelimit::store::OnStoreFailure;
use watertight_ratelimit::{LeakyBucketLayer, Quota};

use super::fake::Behaviour::{AnswersAfter, AnswersAtOnce, NeverAnswers};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, MS, SECOND, answered, counted};

fn in_shadow(registry: &Registry, reason: Reason) -> u64 {
    let counted = counted(registry);
    let shadow = counted.rejections.iter();
    let shadow = shadow.filter(|it| it.mode == Mode::Shadow && it.reason == reason);
    shadow.map(|it| it.count).sum()
}

#[tokio::test(start_paused = true)]
async fn calls_pass_and_those_beyond_the_limit_are_counted() {
    let registry = Registry::new();
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(3)).registry(&registry);
    let mut api = layer.mode(Mode::Shadow).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 10), 10);

    assert_eq!(in_shadow(&registry, Reason::RateLimited), 7);
    let calls = counted(&registry).calls;
    assert_eq!((calls.success, calls.cancelled), (3, 0));
}

#[tokio::test(start_paused = true)]
async fn no_call_waits_for_the_store_and_what_it_says_is_counted_later() {
    let registry = Registry::new();
    let store = Fake::that(AnswersAfter(MS));
    let layer = bucket_in(&store, Quota::per_second(3)).registry(&registry);
    let layer = layer.total(Quota::per_hour(20)).mode(Mode::Shadow).build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "get", 10), 10);
    assert_eq!(in_shadow(&registry, Reason::RateLimited), 0);
    yield_now().await;
    advance(MS).await;
    yield_now().await;

    assert_eq!(in_shadow(&registry, Reason::RateLimited), 7);
    assert_eq!(layer.handle().snapshot().total.unwrap().remaining, 17);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_delays_and_refuses_nothing() {
    let registry = Registry::new();
    let store = Fake::that(NeverAnswers);
    let layer = bucket_in(&store, Quota::per_second(3))
        .registry(&registry)
        .on_store_failure(OnStoreFailure::Refuse)
        .mode(Mode::Shadow)
        .build();
    let mut api = layer.layer(Echo);
    let since = Instant::now();

    assert_eq!(answered(&mut api, "get", 4), 4);
    assert_eq!(Instant::now(), since);
    yield_now().await;
    advance(SECOND).await;
    yield_now().await;

    assert_eq!(in_shadow(&registry, Reason::NotReady), 4);
    assert_eq!(layer.handle().snapshot().timed_out, 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_have_to_wait_for_its_turn_passes_at_once() {
    let registry = Registry::new();
    let store = Fake::that(AnswersAtOnce);
    store.give_turns_after(SECOND);
    let layer = LeakyBucketLayer::builder("api", Quota::per_second(3))
        .queue(4)
        .registry(&registry)
        .store(store);
    let mut api = layer.mode(Mode::Shadow).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 1), 1);
    assert_eq!(in_shadow(&registry, Reason::RateLimited), 1);
}

#[tokio::test(start_paused = true)]
async fn off_asks_nothing() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(3)).mode(Mode::Off);
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "get", 9), 9);
    assert!(store.asked().is_empty());

    layer.handle().set_mode(Mode::Enforce);
    drop(api.call("get"));
    assert_eq!(store.asked().len(), 1);
}
