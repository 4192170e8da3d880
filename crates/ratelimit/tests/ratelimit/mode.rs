//! Limits that only count.

use tower::Layer;
use watertight_core::{Key, Mode, Outcome, Reason};
use watertight_metrics::Registry;
use watertight_ratelimit::Quota;

use crate::stage::{AsSaid, Echo, answered, bucket, counted};

#[tokio::test(start_paused = true)]
async fn in_shadow_all_calls_pass_and_those_beyond_the_limit_are_counted() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(3))
        .registry(&registry)
        .mode(Mode::Shadow);
    let layer = layer.classify(AsSaid).penalty(|_| 1).build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, Outcome::Success, 10), 10);

    let counted = counted(&registry);
    let shadow = counted.rejections.iter();
    let shadow = shadow.filter(|it| it.mode == Mode::Shadow && it.reason == Reason::RateLimited);
    // Each of the two that pass pays a penalty, and those that would not have passed do not.
    assert_eq!(shadow.map(|it| it.count).sum::<u64>(), 8);
    assert_eq!((counted.calls.success, counted.calls.rejected), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_call_without_a_key_passes_and_is_counted() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(3))
        .registry(&registry)
        .mode(Mode::Shadow);
    let mut api = layer.key(|_: &&str| None::<Key>).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 5), 5);

    let counted = counted(&registry);
    let mut shadow = counted
        .rejections
        .iter()
        .filter(|it| it.mode == Mode::Shadow);
    let missing = shadow.find(|it| it.reason == Reason::KeyMissing).unwrap();
    assert_eq!(missing.count, 5);
}

#[tokio::test(start_paused = true)]
async fn off_takes_and_counts_nothing_and_can_be_changed() {
    let registry = Registry::new();
    let layer = bucket(Quota::per_second(3))
        .registry(&registry)
        .mode(Mode::Off)
        .build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "get", 10), 10);
    assert_eq!(layer.handle().snapshot().status.remaining, 3);
    assert_eq!(counted(&registry).calls.success, 0);

    layer.handle().set_mode(Mode::Enforce);
    assert_eq!(answered(&mut api, "get", 10), 3);
    assert_eq!(counted(&registry).calls.rejected, 7);
}
