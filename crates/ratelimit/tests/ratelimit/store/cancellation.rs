use std::panic::{AssertUnwindSafe, catch_unwind};

use tokio::task::yield_now;
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err};
use tower::{BoxError, Layer, Service, service_fn};
use tower_test::mock;
use watertight_metrics::Registry;
use watertight_ratelimit::store::Act;
use watertight_ratelimit::{LeakyBucketLayer, Quota};

use super::fake::Behaviour::{AnswersAfter, AnswersAtOnce};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, MS, SECOND, counted};

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_the_store_answers_leaves_what_that_may_have_taken() {
    let store = Fake::that(AnswersAfter(MS));
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(9))
        .total(Quota::per_hour(5))
        .registry(&registry)
        .build();
    let mut api = layer.layer(Echo);

    drop(api.call("unpolled"));
    let mut polled = spawn(api.call("polled"));
    assert_pending!(polled.poll());
    drop(polled);
    yield_now().await;

    assert_eq!(store.acts(), [Act::Take(1), Act::Take(1)]);
    let snapshot = layer.handle().snapshot();
    assert_eq!(
        (snapshot.in_flight, snapshot.total.unwrap().remaining),
        (0, 5)
    );
    assert_eq!(counted(&registry).calls.cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_the_service_is_ready_gives_back_what_it_took() {
    let store = Fake::that(AnswersAfter(MS));
    let layer = bucket_in(&store, Quota::per_second(9)).total(Quota::per_hour(5));
    let layer = layer.build();
    let handle = layer.handle();
    let (mut api, mut inner) = mock::spawn_layer::<&str, &str, _>(layer);
    inner.allow(1);
    assert!(api.poll_ready().is_ready());
    inner.allow(0);
    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    advance(MS).await;
    assert_pending!(waits.poll());

    drop(waits);
    yield_now().await;

    assert_eq!(store.acts(), [Act::Take(1), Act::GiveBack(1)]);
    assert_eq!(handle.snapshot().total.unwrap().remaining, 5);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_before_its_turn_leaves_that() {
    let store = Fake::that(AnswersAtOnce);
    store.give_turns_after(SECOND);
    let registry = Registry::new();
    let layer = LeakyBucketLayer::builder("api", Quota::per_second(10))
        .queue(5)
        .registry(&registry)
        .store(store.clone())
        .build();
    let mut api = layer.layer(Echo);

    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    drop(waits);
    yield_now().await;

    assert_eq!(
        store.acts(),
        [Act::Take(1), Act::Leave { cost: 1, turn: 7 }]
    );
    assert_eq!(layer.handle().snapshot().queued, 0);
    assert_eq!(counted(&registry).calls.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_after_it_is_made_keeps_what_it_took() {
    let store = Fake::that(AnswersAtOnce);
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(9)).registry(&registry);
    let mut api = layer.build().layer(service_fn(|_: &str| {
        std::future::pending::<Result<(), BoxError>>()
    }));

    let mut made = spawn(api.call("get"));
    assert_pending!(made.poll());
    drop(made);
    yield_now().await;

    assert_eq!(store.acts(), [Act::Take(1)]);
    assert_eq!(counted(&registry).calls.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_not_ready_for_good_has_its_error_come_out_and_the_call_counts() {
    let store = Fake::that(AnswersAfter(MS));
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(9)).registry(&registry);
    let (mut api, mut inner) = mock::spawn_layer::<&str, &str, _>(layer.build());
    inner.allow(1);
    assert!(api.poll_ready().is_ready());
    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());

    inner.send_error("down");
    advance(MS).await;

    let error = assert_ready_err!(waits.poll());
    assert_eq!(error.to_string(), "down");
    assert_eq!(counted(&registry).calls.failure, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_service_is_a_failure_after_a_wait_too() {
    let store = Fake::that(AnswersAfter(MS));
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(9)).registry(&registry);
    let mut api = layer.build().layer(service_fn(|panics: bool| {
        assert!(!panics, "in the service");
        async { Ok::<_, BoxError>(()) }
    }));
    let mut waits = spawn(api.call(true));
    assert_pending!(waits.poll());
    advance(MS).await;

    let panicked = catch_unwind(AssertUnwindSafe(|| waits.poll()));
    drop(waits);
    yield_now().await;

    assert!(panicked.is_err());
    let calls = counted(&registry).calls;
    assert_eq!((calls.failure, calls.cancelled), (1, 0));
    assert_eq!(store.acts(), [Act::Take(1)]);
}
