use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use watertight_core::{Reason, Rejection};
use watertight_metrics::{Registry, What};
use watertight_ratelimit::store::{OnStoreFailure, StoreConfig, StoreError};
use watertight_ratelimit::{Quota, TokenBucketConfig};

use super::fake::Behaviour::{
    AnswersAfter, AnswersAtOnce, Errs, GivesUp, NeverAnswers, PanicsWhenAsked, PanicsWhenPolled,
};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, MS, answered, call, counted};

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_is_waited_for_so_long_and_no_longer() {
    let store = Fake::that(NeverAnswers);
    let layer = bucket_in(&store, Quota::per_second(1)).build();
    let mut api = layer.layer(Echo);
    let since = Instant::now();

    let answer = api.call("get").await.unwrap();

    let waited = Instant::now() - since;
    assert_eq!((answer, waited), ("get", StoreConfig::TIMEOUT));
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.timed_out, snapshot.failed), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_store_is_told_how_long_it_is_waited_for_and_may_give_up_by_itself() {
    let store = Fake::that(GivesUp);
    let layer = bucket_in(&store, Quota::per_second(1)).store_timeout(20 * MS);
    let layer = layer.on_store_failure(OnStoreFailure::Allow).build();
    let mut api = layer.layer(Echo);
    let since = Instant::now();

    api.call("get").await.unwrap();
    let error = layer.handle().take(1).await.unwrap_err();

    assert_eq!(Instant::now() - since, 40 * MS);
    assert!(matches!(error, StoreError::TimedOut), "{error}");
    let asked = store.asked();
    let timeouts: Vec<_> = asked.iter().map(|asked| asked.timeout).collect();
    assert_eq!(timeouts, [20 * MS; 2]);
    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.timed_out, snapshot.failed), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_with_the_timeout_counts() {
    let store = Fake::that(AnswersAfter(10 * MS));
    let layer = bucket_in(&store, Quota::per_second(1)).store_timeout(10 * MS);
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    api.call("get").await.unwrap();

    assert_eq!(layer.handle().snapshot().timed_out, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_pass_where_a_failure_allows_them() {
    let store = Fake::that(Errs);
    let layer = bucket_in(&store, Quota::per_second(1)).on_store_failure(OnStoreFailure::Allow);
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "get", 20), 20);
    assert_eq!(layer.handle().snapshot().failed, 20);
}

#[tokio::test(start_paused = true)]
async fn calls_are_refused_where_a_failure_refuses_them_and_the_total_is_given_back() {
    let store = Fake::that(Errs);
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(1))
        .on_store_failure(OnStoreFailure::Refuse)
        .total(Quota::per_hour(5))
        .registry(&registry)
        .build();
    let mut api = layer.layer(Echo);

    let refused = call(&mut api, "get").unwrap_err();
    store.behave(NeverAnswers);
    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    advance(StoreConfig::TIMEOUT).await;
    let refused_later = assert_ready_err!(waits.poll());

    assert_eq!(refused.reason(), Reason::NotReady);
    let refused_later = Rejection::find(&*refused_later).unwrap();
    assert_eq!(refused_later.reason(), Reason::NotReady);
    assert_eq!(layer.handle().snapshot().total.unwrap().remaining, 5);
    drop(waits);
    let calls = counted(&registry).calls;
    assert_eq!((calls.rejected, calls.cancelled), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn as_soon_as_the_store_answers_it_is_asked_again() {
    let store = Fake::that(Errs);
    let layer = bucket_in(&store, Quota::per_second(30)).on_store_failure(OnStoreFailure::Refuse);
    let mut api = layer.build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 3), 0);
    store.behave(AnswersAtOnce);

    assert_eq!(answered(&mut api, "get", 3), 3);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_has_the_panic_go_on_and_nothing_is_kept() {
    for behaviour in [PanicsWhenAsked, PanicsWhenPolled] {
        let store = Fake::that(behaviour);
        let layer = bucket_in(&store, Quota::per_second(9)).total(Quota::per_hour(5));
        let layer = layer.build();
        let mut api = layer.layer(Echo);

        let panicked = catch_unwind(AssertUnwindSafe(|| drop(api.call("get"))));

        assert_eq!(panicked.unwrap_err().downcast_ref(), Some(&"in the store"));
        let snapshot = layer.handle().snapshot();
        assert_eq!(
            (snapshot.in_flight, snapshot.total.unwrap().remaining),
            (0, 5)
        );
        store.behave(AnswersAtOnce);
        call(&mut api, "get").unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn failures_are_one_event_a_second() {
    let store = Fake::that(Errs);
    let registry = Registry::new();
    let mut events = registry.subscribe();
    let layer = bucket_in(&store, Quota::per_second(9)).registry(&registry);
    let mut api = layer.build().layer(Echo);

    answered(&mut api, "get", 5);

    let event = assert_ready!(spawn(events.next()).poll()).unwrap().unwrap();
    assert_eq!(
        (event.name.as_str(), event.what),
        ("api", What::StoreFailed)
    );
    assert_pending!(spawn(events.next()).poll());
}

#[tokio::test(start_paused = true)]
async fn penalties_that_nobody_takes_in_are_bounded_and_counted() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(9_000)).penalty(|_| 1);
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    // Nothing runs in between.
    answered(&mut api, "get", 1_030);
    assert_eq!(layer.handle().snapshot().untold, 6);
    sleep(MS).await;

    assert_eq!(store.taken("api"), 1_030 + 1_024);
    answered(&mut api, "get", 1);
    assert_eq!(layer.handle().snapshot().untold, 6);
}

#[test]
fn without_a_runtime_a_penalty_is_counted_and_no_call_suffers() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(9)).penalty(|_| 1);
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    call(&mut api, "get").unwrap();

    assert_eq!(layer.handle().snapshot().untold, 1);
}

#[test]
fn settings_of_the_store_are_checked() {
    let mut config = TokenBucketConfig::new(Quota::per_second(1));
    config.store.timeout = Duration::ZERO;
    let error = config.validate().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`store.timeout` is 0ns, but must be above zero"
    );

    for share in [0.0, -1.0, 1.5, f64::NAN] {
        let mut config = TokenBucketConfig::new(Quota::per_second(1));
        config.store.on_failure = OnStoreFailure::Local(share);
        let error = config.validate().unwrap_err().to_string();
        assert!(error.starts_with("`store.on_failure.local`"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_answer_within_the_time_is_no_failure() {
    let store = Fake::that(AnswersAfter(49 * MS));
    let layer = bucket_in(&store, Quota::per_second(9)).build();
    let mut api = layer.layer(Echo);

    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    advance(49 * MS).await;

    assert_ready_ok!(waits.poll());
    assert_eq!(layer.handle().snapshot().timed_out, 0);
}
