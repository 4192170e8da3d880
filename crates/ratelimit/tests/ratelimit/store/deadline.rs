use std::time::Duration;

use tokio::time::{Instant, advance, sleep};
use tower::{BoxError, Layer, Service};
use watertight_core::{Context, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, InStore, OnStoreFailure};
use watertight_ratelimit::{LeakyBucket, LeakyBucketLayer, Quota, RateLimitBuilder, Rules};

use super::fake::Behaviour::{AnswersAfter, AnswersAtOnce, NeverAnswers};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, MS, SECOND, counted};

/// Makes a call that has to be over after so much time. Returns its answer, and when it came.
async fn call_within<S>(service: &mut S, time: Duration) -> (Result<&'static str, Reason>, Duration)
where
    S: Service<&'static str, Response = &'static str, Error = BoxError>,
{
    let since = Instant::now();
    let context = Context {
        deadline: Some(since + time),
        ..Context::default()
    };
    let answer = context.enter(|| service.call("get")).await;
    let answer = answer.map_err(|error| Rejection::find(&*error).unwrap().reason());
    (answer, Instant::now() - since)
}

fn pace_in(store: &Fake) -> RateLimitBuilder<LeakyBucket, Rules, InStore<Fake>> {
    LeakyBucketLayer::builder("api", Quota::per_second(10))
        .queue(5)
        .registry(&Registry::new())
        .store(store.clone())
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_store_until_its_deadline_and_what_that_takes_is_given_back() {
    let store = Fake::that(AnswersAfter(30 * MS));
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(9)).registry(&registry);
    let layer = layer.total(Quota::per_hour(5)).build();
    let mut api = layer.layer(Echo);

    let refused = call_within(&mut api, 10 * MS).await;

    assert_eq!(refused, (Err(Reason::DeadlineExceeded), 10 * MS));
    let total = layer.handle().snapshot().total.unwrap();
    assert_eq!(total.remaining, 5);
    assert_eq!(store.acts(), [Act::Take(1)]);
    sleep(21 * MS).await;
    assert_eq!(store.acts(), [Act::GiveBack(1)]);
    let counted = counted(&registry);
    assert_eq!(counted.calls.cancelled, 0);
    assert_eq!(layer.handle().snapshot().timed_out, 0);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_does_not_answer_before_the_deadline_nor_after_has_failed() {
    let store = Fake::that(NeverAnswers);
    let layer = bucket_in(&store, Quota::per_second(9)).on_store_failure(OnStoreFailure::Allow);
    let layer = layer.build();
    let mut api = layer.layer(Echo);

    let refused = call_within(&mut api, 10 * MS).await;

    assert_eq!(refused, (Err(Reason::DeadlineExceeded), 10 * MS));
    sleep(SECOND).await;
    assert_eq!(store.acts(), [Act::Take(1)]);
    assert_eq!(layer.handle().snapshot().timed_out, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_deadline_is_later_is_not_refused_for_it() {
    let store = Fake::that(NeverAnswers);
    let layer = bucket_in(&store, Quota::per_second(9)).on_store_failure(OnStoreFailure::Allow);
    let mut api = layer.build().layer(Echo);

    assert_eq!(call_within(&mut api, SECOND).await, (Ok("get"), 50 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_passes_only_if_the_store_answers_at_once() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = bucket_in(&store, Quota::per_second(9)).build().layer(Echo);

    let none = Duration::ZERO;
    assert_eq!(call_within(&mut api, none).await, (Ok("get"), none));

    store.behave(AnswersAfter(MS));
    let refused = call_within(&mut api, none).await;
    assert_eq!(refused, (Err(Reason::DeadlineExceeded), none));
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_is_too_late_by_the_time_it_is_known_is_left() {
    let store = Fake::that(AnswersAfter(20 * MS));
    store.give_turns_after(100 * MS);
    let layer = pace_in(&store).build();
    let mut api = layer.layer(Echo);

    let refused = call_within(&mut api, 119 * MS).await;
    tokio::task::yield_now().await;

    assert_eq!(refused, (Err(Reason::DeadlineExceeded), 20 * MS));
    let left = Act::Leave { cost: 1, turn: 7 };
    assert_eq!(store.acts(), [Act::Take(1), left]);
    assert_eq!(layer.handle().snapshot().queued, 0);
    let served = call_within(&mut api, 120 * MS).await;
    assert_eq!(served, (Ok("get"), 120 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_turn_of_this_process_is_one_within_the_time_that_the_store_has_left() {
    let store = Fake::that(NeverAnswers);
    let mut api = pace_in(&store).build().layer(Echo);
    let first = call_within(&mut api, SECOND).await;
    assert_eq!(first, (Ok("get"), 50 * MS));

    // The next turn begins 50 ms after the store has not answered this one.
    let refused = call_within(&mut api, 99 * MS).await;
    assert_eq!(refused, (Err(Reason::DeadlineExceeded), 50 * MS));
    advance(SECOND).await;
    assert_eq!(call_within(&mut api, SECOND).await, (Ok("get"), 50 * MS));
    let served = call_within(&mut api, 100 * MS).await;
    assert_eq!(served, (Ok("get"), 100 * MS));
}
