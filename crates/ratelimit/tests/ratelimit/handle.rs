//! A look at, and a hand on, a live limit.

use tokio::time::advance;
use tower::Layer;
use watertight_core::{Key, Mode};
use watertight_metrics::Registry;
use watertight_ratelimit::{
    LeakyBucketLayer, Quota, SlidingWindow, SlidingWindowConfig, SlidingWindowHandle,
    SlidingWindowLayer, TokenBucketConfig, TokenBucketHandle, WhenFull,
};

use crate::stage::{Echo, SECOND, answered, bucket, counted};

#[tokio::test(start_paused = true)]
async fn takes_looks_and_gives_back() {
    let handle = bucket(Quota::per_second(10)).build().handle();

    assert!(handle.take(4).admitted);
    assert!(!handle.peek(7).admitted);
    assert_eq!(handle.at_most(8), 6);
    assert_eq!(handle.at_most(8), 0);
    handle.refund(5);
    assert_eq!(handle.peek(1).status.remaining, 5);
    handle.penalize(7);
    assert_eq!(handle.peek(1).retry_after, Some(3 * SECOND / 10));
}

#[tokio::test(start_paused = true)]
async fn takes_no_more_of_a_key_than_the_total_has() {
    let layer = bucket(Quota::per_second(10)).total(Quota::per_second(4));
    let handle = layer.build().handle();
    let acme = handle.key(Key::of("acme"));

    assert_eq!(acme.at_most(8), 4);
    let snapshot = acme.snapshot();
    assert_eq!(snapshot.total.unwrap().remaining, 0);
    assert_eq!(snapshot.status.remaining, 6, "and no more of the key");
    acme.refund(4);

    assert_eq!(acme.at_most(10), 4);
    let of_others = handle.key(Key::of("globex")).peek(0).status;
    assert_eq!(of_others.remaining, 0, "the total is the tighter one");
}

#[tokio::test(start_paused = true)]
async fn is_found_by_kind_and_name() {
    let registry = Registry::new();
    let quota = Quota::per_second(10);
    let bucket = bucket(quota).registry(&registry).build();
    let window = SlidingWindowLayer::builder("api", quota)
        .registry(&registry)
        .build();

    let found: TokenBucketHandle = registry.find("api").unwrap();
    assert!(found.take(3).admitted);
    let other: SlidingWindowHandle = registry.find("api").unwrap();
    assert!(other.take(1).admitted);

    assert_eq!(bucket.handle().peek(0).status.remaining, 7);
    assert_eq!(window.handle().peek(0).status.remaining, 9);
}

#[tokio::test(start_paused = true)]
async fn a_quota_changes_while_what_was_taken_stays_taken() {
    let layer = bucket(Quota::per_second(10))
        .key(|tenant: &&str| Key::of(*tenant))
        .build();
    let mut api = layer.layer(Echo);
    answered(&mut api, "acme", 8);

    let config = TokenBucketConfig::new(Quota::per_second(20));
    layer.handle().reconfigure(config).unwrap();

    assert_eq!(answered(&mut api, "acme", 100), 12);
    assert_eq!(answered(&mut api, "globex", 100), 20);
    advance(SECOND / 2).await;
    assert_eq!(answered(&mut api, "acme", 100), 10);
}

#[tokio::test(start_paused = true)]
async fn what_a_key_is_given_back_after_a_change_stays_given_back() {
    let acme = Key::of("acme");

    let bucket = bucket(Quota::per_hour(10)).build().handle();
    assert!(bucket.key(acme).take(4).admitted);
    let config = TokenBucketConfig::new(Quota::per_hour(20));
    bucket.reconfigure(config).unwrap();
    bucket.key(acme).refund(4);
    assert_eq!(bucket.key(acme).peek(0).status.remaining, 20);

    let window = SlidingWindowLayer::builder("api", Quota::per_hour(10));
    let window = window.registry(&Registry::new()).build().handle();
    assert!(window.key(acme).take(4).admitted);
    let config = SlidingWindowConfig::new(Quota::per_hour(20));
    window.reconfigure(config).unwrap();
    window.key(acme).refund(4);
    assert_eq!(window.key(acme).peek(0).status.remaining, 20);
}

/// Or else it would owe again what it has been given back.
#[tokio::test(start_paused = true)]
async fn what_a_key_is_given_back_after_a_change_stays_so_when_it_gives_way() {
    let acme = Key::of("acme");
    let others = || (0..1_000_u64).map(Key::of);

    let quotas = |tokens| Quota::per_hour(tokens).and(Quota::per_day(tokens));

    let bucket = bucket(quotas(10)).max_keys(16).build().handle();
    assert!(bucket.key(acme).take(10).admitted);
    let mut config = TokenBucketConfig::new(quotas(20));
    config.max_keys = 16;
    bucket.reconfigure(config).unwrap();
    bucket.key(acme).refund(10);
    others().for_each(|key| assert!(bucket.key(key).take(1).admitted));
    assert_eq!(bucket.key(acme).peek(0).status.remaining, 20);

    let window = SlidingWindowLayer::builder("api", Quota::per_hour(10));
    let window = window.max_keys(16).registry(&Registry::new());
    let window = window.build().handle();
    assert!(window.key(acme).take(10).admitted);
    let mut config = SlidingWindowConfig::new(Quota::per_hour(20));
    config.max_keys = 16;
    window.reconfigure(config).unwrap();
    window.key(acme).refund(10);
    others().for_each(|key| assert!(window.key(key).take(1).admitted));
    assert_eq!(window.key(acme).peek(0).status.remaining, 20);
}

/// Its words are those from before the change, and there is no room for others.
#[tokio::test(start_paused = true)]
async fn a_key_without_room_gets_nothing_back_and_owes_no_less() {
    let acme = Key::of("acme");
    let others = || (0..1_000_u64).map(Key::of);

    let bucket = bucket(Quota::per_hour(10)).max_keys(16);
    let bucket = bucket.when_full(WhenFull::Refuse).build().handle();
    assert!(bucket.key(acme).take(10).admitted);
    let mut config = TokenBucketConfig::new(Quota::per_hour(20));
    (config.max_keys, config.when_full) = (16, WhenFull::Refuse);
    bucket.reconfigure(config).unwrap();
    for key in others() {
        let _ = bucket.key(key).take(1);
    }
    bucket.key(acme).refund(1);
    assert_eq!(bucket.key(acme).peek(0).status.remaining, 10);

    let window = SlidingWindowLayer::builder("api", Quota::per_hour(10)).max_keys(16);
    let window = window
        .when_full(WhenFull::Refuse)
        .registry(&Registry::new());
    let window = window.build().handle();
    assert!(window.key(acme).take(10).admitted);
    let mut config = SlidingWindowConfig::new(Quota::per_hour(20));
    (config.max_keys, config.when_full) = (16, WhenFull::Refuse);
    window.reconfigure(config).unwrap();
    for key in others() {
        let _ = window.key(key).take(1);
    }
    window.key(acme).refund(1);
    assert_eq!(window.key(acme).peek(0).status.remaining, 10);
}

#[tokio::test(start_paused = true)]
async fn keys_that_had_to_go_stay_counted_when_quotas_change() {
    let layer = bucket(Quota::per_hour(10)).max_keys(16).build();
    let handle = layer.handle();
    let evict = || {
        for number in 0..1_000_u64 {
            assert!(handle.key(Key::of(number)).take(1).admitted);
        }
        handle.snapshot().keys_evicted.unwrap()
    };
    let before = evict();
    assert!(before > 900);

    let mut config = TokenBucketConfig::new(Quota::per_hour(20));
    config.max_keys = 16;
    handle.reconfigure(config.clone()).unwrap();

    assert_eq!(handle.snapshot().keys_evicted, Some(before));
    let before = evict();
    config.announce = true;
    handle.reconfigure(config).unwrap();
    assert_eq!(handle.snapshot().keys_evicted, Some(before));
    assert!(evict() > before + 900);
}

/// Room for a log of each key is taken by whoever brings the keys.
#[test]
fn exact_windows_of_more_keys_than_there_is_memory_for_are_refused() {
    let builder = |limit| {
        let builder = SlidingWindowLayer::builder("api", Quota::per_day(limit)).exact();
        builder.registry(&Registry::new())
    };
    let by_tenant = |tenant: &u64| Key::of(*tenant);
    let said =
        "`max_keys` is 65536, but must be in 1..=26843 for exact windows of 10000 tokens a key";

    let plan = (Quota::per_day(9_000).and(Quota::per_hour(1_000)), "pro");
    let keyed = builder(4_096).key(by_tenant);
    let refused = keyed.clone().plan(plan.1, plan.0).try_build().unwrap_err();
    assert_eq!(refused.to_string(), said);
    let handle = keyed.build().handle();
    let config = SlidingWindowConfig {
        algorithm: SlidingWindow::Exact,
        ..SlidingWindowConfig::new(Quota::per_day(10_000))
    };
    let refused = handle.reconfigure(config.clone()).unwrap_err();
    assert_eq!(refused.to_string(), said);

    let fewer = SlidingWindowConfig {
        max_keys: 26_843,
        ..config.clone()
    };
    assert_eq!(handle.reconfigure(fewer), Ok(()));
    // There is one log, or there is none.
    assert_eq!(
        builder(9_000).build().handle().reconfigure(config.clone()),
        Ok(())
    );
    let counted = SlidingWindowConfig {
        algorithm: SlidingWindow::Buckets(100),
        ..config
    };
    assert_eq!(handle.reconfigure(counted), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn an_invalid_config_is_refused_and_the_old_one_stays() {
    let layer = bucket(Quota::per_second(10)).build();
    let config = TokenBucketConfig::new(Quota::per_second(0));

    let error = layer.handle().reconfigure(config).unwrap_err();

    assert_eq!(error.field(), "quota.tokens");
    assert_eq!(layer.handle().snapshot().status.limit, 10);
}

#[tokio::test(start_paused = true)]
async fn plans_come_and_go_while_calls_are_made() {
    let layer = bucket(Quota::per_second(2)).plan("pro", Quota::per_second(10));
    let layer = layer.plan_by(|plan: &&'static str| Some(*plan)).build();
    let mut api = layer.layer(Echo);
    let config = TokenBucketConfig::new(Quota::per_second(2));
    assert_eq!(answered(&mut api, "pro", 6), 6);

    layer.handle().reconfigure(config.clone()).unwrap();
    assert_eq!(answered(&mut api, "pro", 6), 2, "like calls without a plan");

    let mut with_plans = config;
    for (name, tokens) in [("free", 1), ("pro", 10)] {
        let quotas = Quota::per_second(tokens).into();
        with_plans.plans.insert(name.into(), quotas);
    }
    layer.handle().reconfigure(with_plans).unwrap();
    assert_eq!(answered(&mut api, "free", 6), 1);
    assert_eq!(answered(&mut api, "pro", 20), 10, "it is a new plan");
    assert_eq!(
        layer.handle().peek(0).status.remaining,
        0,
        "what is unchanged stays"
    );
}

#[tokio::test(start_paused = true)]
async fn the_keys_of_a_plan_that_is_gone_are_counted_no_more() {
    let layer = bucket(Quota::per_hour(2)).plan("pro", Quota::per_hour(9));
    // So few that they are counted one by one.
    let handle = layer.max_keys(1_000).build().handle();
    for number in 0..50_u64 {
        let key = handle.key(Key::of(number));
        assert!(key.take(1).admitted && key.plan("pro").unwrap().take(1).admitted);
    }
    assert_eq!(handle.snapshot().keys, Some(100));

    let mut config = TokenBucketConfig::new(Quota::per_hour(2));
    config.max_keys = 1_000;
    handle.reconfigure(config).unwrap();

    assert_eq!(handle.snapshot().keys, Some(50));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_what_there_is() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(10)).registry(&registry).build();
    let mut api = layer.layer(Echo);
    answered(&mut api, "get", 5);

    let snapshot = counted(&registry);

    assert_eq!(
        (snapshot.kind, snapshot.name.as_str()),
        ("token_bucket", "api")
    );
    assert_eq!(snapshot.utilization, Some(0.5));
    assert_eq!((snapshot.in_flight, snapshot.keys), (Some(0), None));
    assert_eq!(snapshot.calls.success, 5);
    assert_eq!(snapshot.config["max_keys"], "65536");
}

#[tokio::test(start_paused = true)]
async fn the_settings_in_force_can_be_changed_one_by_one() {
    let layer = bucket(Quota::per_minute(5)).total(Quota::per_minute(100));
    let layer = layer.announce(true).plan("pro", Quota::per_minute(50));
    let handle = layer.build().handle();
    handle.set_mode(Mode::Shadow);

    let mut config = handle.config();
    config.quotas = Quota::per_minute(20).into();
    handle.reconfigure(config.clone()).unwrap();

    assert_eq!(handle.config(), config);
    assert!(config.announce && config.plans.contains_key("pro"));
    let snapshot = handle.snapshot();
    assert_eq!((snapshot.mode, snapshot.status.limit), (Mode::Shadow, 20));
    assert_eq!(snapshot.total.unwrap().limit, 100);
}

#[test]
fn the_settings_in_force_have_the_algorithm_of_the_layer() {
    let exact = SlidingWindowLayer::builder("api", Quota::per_second(10)).exact();
    let leaky = LeakyBucketLayer::builder("api", Quota::per_second(10)).queue(7);

    let exact = exact.registry(&Registry::new()).build().handle();
    assert_eq!(exact.config().algorithm, SlidingWindow::Exact);
    let leaky = leaky.registry(&Registry::new()).build().handle();
    assert_eq!(leaky.config().algorithm.queue, 7);
}
