use std::convert::Infallible;
use std::time::Duration;

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service, service_fn};
use tower_test::mock;
use watertight_core::{Context, Key, Reason, Rejection, SetNotes};
use watertight_metrics::Registry;
use watertight_ratelimit::store::Act;
use watertight_ratelimit::{LeakyBucketLayer, Quota, SlidingWindowLayer};

use super::fake::Behaviour::{AnswersAfter, AnswersAtOnce};
use super::fake::{Fake, bucket_in};
use crate::notes::Written;
use crate::stage::{AsSaid, Echo, MS, SECOND, answered, call, counted, refusal};

#[tokio::test(start_paused = true)]
async fn a_call_takes_what_it_costs_of_the_store() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = bucket_in(&store, Quota::per_second(10))
        .cost(|_: &&str| 3)
        .build()
        .layer(Echo);

    assert_eq!(answered(&mut api, "get", 5), 3);

    let asked = store.asked();
    assert_eq!(asked.len(), 5);
    assert!(asked.iter().all(|asked| asked.act == Act::Take(3)));
    let rejection = refusal(&mut api, "get");
    assert_eq!(rejection.retry_after(), Some(SECOND));
    let quota = rejection.quota().unwrap();
    assert_eq!((quota.policy.as_str(), quota.remaining), ("api", 1));
}

#[tokio::test(start_paused = true)]
async fn layers_of_many_processes_take_from_one_quota() {
    let store = Fake::that(AnswersAtOnce);
    let node = || bucket_in(&store, Quota::per_second(10)).build().layer(Echo);
    let (mut one, mut other) = (node(), node());

    assert_eq!(answered(&mut one, "get", 7), 7);
    assert_eq!(answered(&mut other, "get", 7), 3);
}

#[tokio::test(start_paused = true)]
async fn each_key_and_plan_has_quotas_of_its_own() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = bucket_in(&store, Quota::per_second(2))
        .plan("pro", Quota::per_second(5))
        .plan_by(|call: &(&str, Option<&'static str>)| call.1)
        .key(|call: &(&str, Option<&str>)| Key::of(call.0))
        .build()
        .layer(Echo);

    assert_eq!(answered(&mut api, ("acme", None), 9), 2);
    assert_eq!(answered(&mut api, ("globex", None), 9), 2);
    assert_eq!(answered(&mut api, ("acme", Some("pro")), 9), 5);
    assert_eq!(store.asked().last().unwrap().policy, "api/pro");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_when_the_store_has_answered() {
    let store = Fake::that(AnswersAfter(20 * MS));
    let layer = bucket_in(&store, Quota::per_second(1)).build();
    let mut api = layer.layer(Echo);

    let mut first = spawn(api.call("get"));
    let mut second = spawn(api.call("get"));
    assert_pending!(first.poll());
    assert_pending!(second.poll());
    assert_eq!(layer.handle().snapshot().in_flight, 2);
    advance(20 * MS).await;

    assert!(first.is_woken());
    assert_eq!(assert_ready_ok!(first.poll()), "get");
    let error = assert_ready_err!(second.poll());
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::RateLimited);
    drop((first, second));
    assert_eq!(layer.handle().snapshot().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn an_answer_at_once_has_the_instance_called_that_is_ready() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(9)).build();
    let (mut api, mut inner) = mock::spawn_layer::<&str, &str, _>(layer);
    inner.allow(1);

    assert_ready_ok!(api.poll_ready());
    let _call = api.call("get");

    let (request, _) = inner.next_request().await.unwrap();
    assert_eq!(request, "get");
    inner.allow(0);
    assert_pending!(api.poll_ready());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_leaves_the_ready_instance_and_drives_its_own() {
    let store = Fake::that(AnswersAfter(MS));
    let layer = bucket_in(&store, Quota::per_second(9)).build();
    let (mut api, mut inner) = mock::spawn_layer::<&str, &str, _>(layer);
    inner.allow(1);
    assert_ready_ok!(api.poll_ready());

    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    // Still there for the next one, and not for the one that waits.
    assert_ready_ok!(api.poll_ready());
    inner.allow(0);
    advance(MS).await;
    assert_pending!(waits.poll());
    inner.allow(1);
    assert!(waits.is_woken());
    assert_pending!(waits.poll());

    let (request, answer) = inner.next_request().await.unwrap();
    assert_eq!(request, "get");
    answer.send_response("served");
    assert_eq!(assert_ready_ok!(waits.poll()), "served");
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_how_much_the_store_has_left() {
    let store = Fake::that(AnswersAfter(MS));
    let builder = bucket_in(&store, Quota::per_second(10)).announce(true);
    let mut api = builder.set_notes(Written).build().layer(Echo);

    let mut noted = spawn(api.call(None));
    assert_pending!(noted.poll());
    advance(MS).await;

    let (policy, quota) = assert_ready_ok!(noted.poll()).unwrap();
    assert_eq!((policy, quota.remaining), ("api", 9));
}

#[tokio::test(start_paused = true)]
async fn the_total_is_asked_first_and_given_back_when_the_store_refuses() {
    let store = Fake::that(AnswersAtOnce);
    let layer = bucket_in(&store, Quota::per_second(2)).total(Quota::per_hour(3));
    let layer = layer.build();
    let left = || layer.handle().snapshot().total.unwrap().remaining;
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "get", 9), 2);
    assert_eq!((left(), store.acts().len()), (1, 9));

    let mut empty = bucket_in(&store, Quota::per_second(9))
        .total(Quota::per_hour(1))
        .build()
        .layer(Echo);
    call(&mut empty, "get").unwrap();
    assert_eq!(
        refusal(&mut empty, "get").quota().unwrap().policy.as_str(),
        "api/total"
    );
    assert_eq!(store.acts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sliding_window_asks_the_store_too() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = SlidingWindowLayer::builder("api", Quota::per_second(4))
        .exact()
        .registry(&Registry::new())
        .store(store)
        .build()
        .layer(Echo);

    assert_eq!(answered(&mut api, "get", 9), 4);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_the_turn_that_the_store_gives_it() {
    let store = Fake::that(AnswersAfter(10 * MS));
    store.give_turns_after(200 * MS);
    let layer = LeakyBucketLayer::builder("api", Quota::per_second(10))
        .queue(5)
        .registry(&Registry::new())
        .store(store.clone())
        .build();
    let mut api = layer.layer(Echo);

    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    assert_eq!(layer.handle().snapshot().queued, 0);
    advance(10 * MS).await;
    assert_pending!(waits.poll());
    assert_eq!(layer.handle().snapshot().queued, 1);
    advance(199 * MS).await;
    assert_pending!(waits.poll());
    advance(MS).await;

    assert_ready_ok!(waits.poll());
    assert_eq!(layer.handle().snapshot().queued, 0);
    assert!(layer.handle().snapshot().queue_wait.is_some());
}

#[tokio::test(start_paused = true)]
async fn the_store_is_told_how_long_a_call_can_wait() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = LeakyBucketLayer::builder("api", Quota::per_second(10))
        .queue(5)
        .max_wait(300 * MS)
        .registry(&Registry::new())
        .store(store.clone())
        .build()
        .layer(Echo);
    let patience = || store.asked().pop().unwrap().patience;
    let within = |time: Duration| Context {
        deadline: Some(tokio::time::Instant::now() + time),
        ..Context::default()
    };

    call(&mut api, "get").unwrap();
    assert_eq!(patience(), 300 * MS);
    within(40 * MS).enter(|| call(&mut api, "get")).unwrap();
    assert_eq!(patience(), 40 * MS);

    store.give_turns_after(100 * MS);
    let refused = within(40 * MS).enter(|| call(&mut api, "get")).unwrap_err();
    assert_eq!(refused.reason(), Reason::DeadlineExceeded);
    store.give_turns_after(400 * MS);
    assert_eq!(refusal(&mut api, "get").reason(), Reason::RateLimited);
}

#[tokio::test(start_paused = true)]
async fn a_penalty_goes_to_the_store_and_no_answer_waits_for_it() {
    let store = Fake::that(AnswersAtOnce);
    let registry = Registry::new();
    let mut api = bucket_in(&store, Quota::per_second(10))
        .registry(&registry)
        .penalty(|_| 4)
        .build()
        .layer(Echo);

    call(&mut api, "get").unwrap();
    assert_eq!(store.taken("api"), 1);
    tokio::task::yield_now().await;

    assert_eq!(store.taken("api"), 5);
    assert_eq!(store.acts(), [Act::Take(1), Act::Charge(4)]);
    assert_eq!(counted(&registry).calls.success, 1);
}

#[tokio::test(start_paused = true)]
async fn outcomes_are_counted_as_without_a_store() {
    let store = Fake::that(AnswersAfter(MS));
    let registry = Registry::new();
    let layer = bucket_in(&store, Quota::per_second(10)).registry(&registry);
    let mut api = layer
        .classify(AsSaid)
        .build()
        .layer(service_fn(|outcome| async move {
            Ok::<watertight_core::Outcome, Infallible>(outcome)
        }));

    let mut made = spawn(api.call(watertight_core::Outcome::failure(
        watertight_core::FailureKind::Server,
    )));
    assert_pending!(made.poll());
    advance(MS).await;
    let _ = made.poll();

    let calls = counted(&registry).calls;
    assert_eq!((calls.failure, calls.success, calls.cancelled), (1, 0, 0));
}
