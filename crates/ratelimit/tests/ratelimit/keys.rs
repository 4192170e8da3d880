//! A quota for each key.

use tokio::time::advance;
use tower::Layer;
use watertight_core::{Key, Reason};
use watertight_metrics::Registry;
use watertight_ratelimit::{
    MissingKey, Quota, RateLimitBuilder, SlidingWindowLayer, TokenBucket, WhenFull,
};

use crate::stage::{Echo, SECOND, answered, bucket, call, counted, refusal};

fn key(tenant: &&'static str) -> Option<Key> {
    (!tenant.is_empty()).then(|| Key::of(*tenant))
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_quota_of_its_own() {
    let mut api = bucket(Quota::per_second(3)).key(key).build().layer(Echo);

    assert_eq!(answered(&mut api, "acme", 100), 3);
    assert_eq!(answered(&mut api, "globex", 2), 2);
    advance(SECOND).await;
    assert_eq!(answered(&mut api, "acme", 100), 3);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_window_of_its_own() {
    let layers = [
        SlidingWindowLayer::builder("api", Quota::per_second(3)).approximate(),
        SlidingWindowLayer::builder("api", Quota::per_second(3)).buckets(4),
        SlidingWindowLayer::builder("api", Quota::per_second(3)).exact(),
    ];

    for layer in layers {
        let mut api = layer
            .registry(&Registry::new())
            .key(key)
            .build()
            .layer(Echo);

        assert_eq!(answered(&mut api, "acme", 100), 3);
        assert_eq!(answered(&mut api, "globex", 2), 2);
        advance(2 * SECOND).await;
        assert_eq!(answered(&mut api, "acme", 100), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_without_a_key_gets_no_free_pass() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(3))
        .key(key)
        .registry(&registry)
        .build();
    let mut api = layer.layer(Echo);

    let rejection = call(&mut api, "").unwrap_err();

    assert_eq!(rejection.reason(), Reason::KeyMissing);
    assert_eq!((rejection.retry_after(), rejection.quota()), (None, None));
    let rejections = counted(&registry).rejections;
    let missing = rejections.iter().find(|it| it.reason == Reason::KeyMissing);
    assert_eq!(missing.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn calls_without_a_key_share_a_quota_or_pass_if_that_is_set() {
    let layer = |missing| bucket(Quota::per_second(3)).key(key).missing_key(missing);

    let mut shared = layer(MissingKey::Share).build().layer(Echo);
    assert_eq!(answered(&mut shared, "", 10), 3);
    assert_eq!(answered(&mut shared, "acme", 10), 3);
    let mut allowed = layer(MissingKey::Allow).build().layer(Echo);
    assert_eq!(answered(&mut allowed, "", 10), 10);
}

#[tokio::test(start_paused = true)]
async fn the_total_bounds_all_keys_together() {
    let layer = bucket(Quota::per_second(3))
        .key(key)
        .total(Quota::per_second(5));
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "acme", 3), 3);
    assert_eq!(answered(&mut api, "globex", 3), 2);

    let rejection = refusal(&mut api, "globex");
    assert_eq!(rejection.quota().unwrap().policy.as_str(), "api/total");
    let globex = layer.handle().key(Key::of("globex"));
    assert_eq!(
        globex.snapshot().status.remaining,
        1,
        "what the total refused was given back"
    );
    assert_eq!(globex.snapshot().total.unwrap().remaining, 0);
    advance(SECOND / 5).await;
    assert_eq!(answered(&mut api, "globex", 2), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_by_a_key_and_by_the_total_hears_of_the_longer_wait() {
    let layer = bucket(Quota::per_second(1))
        .key(key)
        .total(Quota::per_minute(1))
        .build();
    let mut api = layer.layer(Echo);
    assert_eq!(answered(&mut api, "acme", 1), 1);

    let rejection = refusal(&mut api, "acme");
    let peeked = layer.handle().key(Key::of("acme")).peek(1);

    assert_eq!(rejection.retry_after(), Some(60 * SECOND));
    assert_eq!(rejection.quota().unwrap().policy.as_str(), "api/total");
    assert_eq!(peeked.retry_after, Some(60 * SECOND));
}

#[tokio::test(start_paused = true)]
async fn a_cost_that_the_total_can_never_meet_has_no_time_to_ask_again() {
    let layer = bucket(Quota::per_second(10)).total(Quota::per_second(5));
    let layer = layer.cost(|cost: &u64| *cost).build();
    let mut api = layer.layer(Echo);
    call(&mut api, 5).unwrap();

    assert_eq!(refusal(&mut api, 6).retry_after(), None);
}

fn many(when_full: WhenFull) -> RateLimitBuilder<TokenBucket> {
    bucket(Quota::per_hour(10))
        .max_keys(100)
        .when_full(when_full)
}

#[tokio::test(start_paused = true)]
async fn more_keys_than_there_is_room_for_are_served_and_counted() {
    let layer = many(WhenFull::Evict)
        .key(|number: &u64| Key::of(*number))
        .build();
    let mut api = layer.layer(Echo);

    for number in 0..10_000 {
        call(&mut api, number).unwrap();
    }

    let snapshot = layer.handle().snapshot();
    let (keys, evicted) = (snapshot.keys.unwrap(), snapshot.keys_evicted.unwrap());
    assert!((100..=200).contains(&keys), "{keys}");
    assert_eq!(keys as u64 + evicted, 10_000);
}

#[tokio::test(start_paused = true)]
async fn where_no_key_is_evicted_a_new_one_is_refused_until_there_is_room() {
    let layer = many(WhenFull::Refuse)
        .key(|number: &u64| Key::of(*number))
        .build();
    let mut api = layer.layer(Echo);

    let answers = (0..10_000).filter(|number| call(&mut api, *number).is_ok());
    assert!((100..=200).contains(&answers.count()));
    assert!(refusal(&mut api, 10_001).retry_after().is_some());

    advance(3_600 * SECOND).await;
    call(&mut api, 10_001).unwrap();
}
