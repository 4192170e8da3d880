use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use allocation_counter::measure;
use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{
    Act, InStore, LeaseError, Leased, OnStoreFailure, Order, Rule, Store,
};
use watertight_ratelimit::{LeakyBucketLayer, Quota, Quotas, RateLimitBuilder, Rules, TokenBucket};

use super::fake::Behaviour::{
    AnswersAfter, AnswersAtOnce, Errs, ErrsAfter, GivesUp, PanicsWhenAsked,
};
use super::fake::{Fake, bucket_in};
use crate::stage::{Echo, MS, SECOND, answered, call, refusal};

fn leased(
    store: &Fake,
    quota: Quota,
    most: u64,
) -> RateLimitBuilder<TokenBucket, Rules, InStore<Leased<Fake>>> {
    bucket_in(store, quota).lease(most)
}

fn up_to(most: &[u64]) -> Vec<Act> {
    most.iter().copied().map(Act::TakeUpTo).collect()
}

#[tokio::test(start_paused = true)]
async fn each_lease_that_is_spent_is_followed_by_one_of_twice_as_much_up_to_the_most() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = leased(&store, Quota::per_hour(100), 8).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 15), 15);
    assert_eq!(store.acts(), up_to(&[1, 2, 4, 8]));
    assert_eq!(answered(&mut api, "get", 16), 16);
    assert_eq!(store.acts(), up_to(&[8, 8]));
}

#[tokio::test(start_paused = true)]
async fn what_many_processes_take_is_never_more_than_there_is() {
    let store = Fake::that(AnswersAtOnce);
    let node = || leased(&store, Quota::per_hour(100), 8).build().layer(Echo);
    let mut nodes = [node(), node(), node()];

    let calls = (0..300).filter(|number| call(&mut nodes[number % 3], "get").is_ok());

    assert_eq!(calls.count(), 100);
    assert_eq!(store.taken("api"), 100);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_spent_lapses_and_less_is_taken_from_then_on() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = leased(&store, Quota::per_second(100), 8)
        .build()
        .layer(Echo);
    answered(&mut api, "get", 9);
    assert_eq!(store.acts(), up_to(&[1, 2, 4, 8]));

    // Six are left.
    advance(10 * SECOND - MS).await;
    assert_eq!(answered(&mut api, "get", 1), 1);
    assert!(store.acts().is_empty());
    advance(MS).await;
    assert_eq!(answered(&mut api, "get", 1), 1);

    assert_eq!(store.acts(), up_to(&[3]));
}

#[tokio::test(start_paused = true)]
async fn with_a_longer_window_what_is_not_spent_stays_longer() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = leased(&store, Quota::per_minute(100), 8)
        .build()
        .layer(Echo);
    answered(&mut api, "get", 2);
    assert_eq!(store.acts(), up_to(&[1, 2]));

    advance(60 * SECOND - MS).await;
    assert_eq!(answered(&mut api, "get", 1), 1);
    assert!(store.acts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn who_finds_nothing_does_not_ask_again_for_a_while_and_says_so() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = leased(&store, Quota::new(3, SECOND), 8).build().layer(Echo);
    // The fake gives nothing back, and says that it takes a second.
    assert_eq!(answered(&mut api, "get", 3), 3);
    let first = refusal(&mut api, "get");
    store.acts();

    assert_eq!(answered(&mut api, "get", 50), 0);
    assert!(store.acts().is_empty());
    let wait = first.retry_after().unwrap();
    advance(wait - MS).await;
    assert_eq!(refusal(&mut api, "get").retry_after(), Some(MS));
    assert!(store.acts().is_empty());
    advance(MS).await;
    assert_eq!(refusal(&mut api, "get").retry_after(), Some(SECOND));
    assert_eq!(store.acts().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn each_policy_and_key_has_a_lease_of_its_own() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = leased(&store, Quota::per_hour(2), 8)
        .plan("pro", Quota::per_hour(5))
        .plan_by(|call: &(&str, Option<&'static str>)| call.1)
        .key(|call: &(&str, Option<&str>)| Key::of(call.0))
        .build()
        .layer(Echo);

    assert_eq!(answered(&mut api, ("acme", None), 9), 2);
    assert_eq!(answered(&mut api, ("globex", None), 9), 2);
    assert_eq!(answered(&mut api, ("acme", Some("pro")), 9), 5);
}

#[tokio::test(start_paused = true)]
async fn one_call_asks_and_the_others_wait_for_its_answer() {
    let store = Fake::that(AnswersAfter(MS));
    let mut api = leased(&store, Quota::per_hour(100), 8).build().layer(Echo);
    let mut waits: Vec<_> = (0..3).map(|_| spawn(api.call("get"))).collect();
    for call in &mut waits {
        assert_pending!(call.poll());
    }
    assert_eq!(store.acts(), up_to(&[1]));

    advance(MS).await;
    assert_ready_ok!(waits[0].poll());
    assert!(waits[1].is_woken() && waits[2].is_woken());
    // One of them asks for both.
    assert_pending!(waits[1].poll());
    assert_pending!(waits[2].poll());
    assert_eq!(store.acts(), up_to(&[2]));
    advance(MS).await;
    assert_ready_ok!(waits[1].poll());
    assert_ready_ok!(waits[2].poll());

    assert!(store.acts().is_empty());
}

#[tokio::test(start_paused = true)]
async fn if_the_call_goes_away_that_asks_another_does() {
    let store = Fake::that(AnswersAfter(MS));
    let mut api = leased(&store, Quota::per_hour(100), 8).build().layer(Echo);
    let mut first = spawn(api.call("get"));
    let mut second = spawn(api.call("get"));
    let unpolled = spawn(api.call("get"));
    assert_pending!(first.poll());
    assert_pending!(second.poll());

    drop(first);
    drop(unpolled);

    assert!(second.is_woken());
    assert_pending!(second.poll());
    assert_eq!(store.acts(), up_to(&[1, 1]));
    advance(MS).await;
    assert_ready_ok!(second.poll());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_asks_and_is_not_polled_holds_up_the_others_for_a_second_and_no_longer() {
    let store = Fake::that(AnswersAfter(MS));
    let mut api = leased(&store, Quota::per_hour(100), 8).build().layer(Echo);
    let mut left_alone = spawn(api.call("get"));
    assert_pending!(left_alone.poll());

    advance(SECOND - MS).await;
    let mut follows = spawn(api.call("get"));
    assert_pending!(follows.poll());
    assert_eq!(store.acts(), up_to(&[1]));
    advance(MS).await;
    let mut leads = spawn(api.call("get"));
    assert_pending!(leads.poll());
    assert_eq!(store.acts(), up_to(&[1]));
    assert_ready_ok!(left_alone.poll());
    // The lead is another's now, for whom this one waits.
    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());
    assert!(store.acts().is_empty());
    advance(MS).await;
    assert_ready_ok!(leads.poll());

    assert!(waits.is_woken());
    assert_pending!(waits.poll());
    assert_eq!(store.acts(), up_to(&[4]));
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_call_that_is_not_polled_asks_by_itself_after_a_second() {
    let store = Fake::that(AnswersAfter(MS));
    let layer = leased(&store, Quota::per_hour(100), 8).store_timeout(5 * SECOND);
    let layer = layer.on_store_failure(OnStoreFailure::Refuse).build();
    let mut api = layer.layer(Echo);
    let mut left_alone = spawn(api.call("get"));
    assert_pending!(left_alone.poll());
    let mut waits: Vec<_> = (0..3).map(|_| spawn(api.call("get"))).collect();
    for call in &mut waits {
        assert_pending!(call.poll());
    }

    advance(SECOND - MS).await;
    assert!(waits.iter().all(|call| !call.is_woken()));
    advance(MS).await;
    assert!(waits.iter().all(|call| call.is_woken()));
    // The first of them is left alone as well, and so the others have another second to wait.
    for call in &mut waits {
        assert_pending!(call.poll());
    }
    assert_eq!(store.acts(), up_to(&[1, 1]));
    advance(SECOND).await;
    assert!(waits[1].is_woken() && waits[2].is_woken());
    assert_pending!(waits[1].poll());
    assert_pending!(waits[2].poll());
    assert_eq!(store.acts(), up_to(&[1]));
    advance(MS).await;

    assert_ready_ok!(waits[1].poll());
    assert!(waits[2].is_woken());
    assert_pending!(waits[2].poll());
    advance(MS).await;
    assert_ready_ok!(waits[2].poll());
    assert_eq!(layer.handle().snapshot().timed_out, 0);
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_one_that_went_away_does_so_for_as_long_as_it_can_wait() {
    let store = Fake::that(GivesUp);
    let layer = leased(&store, Quota::per_hour(100), 8).store_timeout(20 * MS);
    let layer = layer.on_store_failure(OnStoreFailure::Allow).build();
    let mut api = layer.layer(Echo);
    let mut goes_away = spawn(api.call("get"));
    let mut asks = spawn(api.call("get"));
    assert_pending!(goes_away.poll());
    assert_pending!(asks.poll());
    advance(15 * MS).await;
    let mut waits = spawn(api.call("get"));
    assert_pending!(waits.poll());

    drop(goes_away);
    assert_pending!(asks.poll());
    assert_pending!(waits.poll());
    advance(5 * MS).await;
    assert_ready_ok!(asks.poll());
    assert_ready_ok!(waits.poll());

    let timeouts = store.asked().into_iter().map(|asked| asked.timeout);
    assert_eq!(timeouts.collect::<Vec<_>>(), [20 * MS, 5 * MS]);
    assert_eq!(layer.handle().snapshot().timed_out, 2);
}

#[tokio::test(start_paused = true)]
async fn a_store_that_panics_leaves_nobody_waiting() {
    let store = Fake::that(AnswersAfter(MS));
    let mut api = leased(&store, Quota::per_hour(100), 8).build().layer(Echo);
    store.behave(PanicsWhenAsked);
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(api.call("get"))));
    assert!(panicked.is_err());

    store.behave(AnswersAtOnce);

    call(&mut api, "get").unwrap();
}

/// Orders to take so much, of a limit of a hundred.
fn take<St: Store>(store: &St, cost: u64) -> St::Asking {
    let quotas = Quotas::from(Quota::per_hour(100));
    store.ask(&Order {
        policy: Name::new("api"),
        key: None,
        rule: Rule::TokenBucket(&quotas),
        act: Act::Take(cost),
        patience: Duration::MAX,
        timeout: Duration::MAX,
    })
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_one_of_all_that_waited_for_it_and_of_nobody_after() {
    let fake = Fake::that(Errs);
    let store = Leased::new(fake.clone(), 8);
    let mut first = spawn(take(&store, 1));
    let mut second = spawn(take(&store, 1));
    let mut unpolled = spawn(take(&store, 1));
    assert_pending!(second.poll());

    let error: LeaseError<io::Error> = assert_ready_err!(first.poll());
    assert_eq!(error.to_string(), "the store is full");
    assert!(second.is_woken());
    assert_ready_err!(second.poll());
    assert_ready_err!(unpolled.poll());
    assert_eq!(fake.acts().len(), 1);

    fake.behave(AnswersAfter(MS));
    let mut leads = spawn(take(&store, 1));
    let mut follows = spawn(take(&store, 1));
    assert_pending!(leads.poll());
    assert_pending!(follows.poll());
    advance(MS).await;
    assert!(assert_ready_ok!(leads.poll()).decision.admitted);
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_one_of_those_too_who_waited_for_somebody_else_before() {
    let fake = Fake::that(AnswersAfter(MS));
    let store = Leased::new(fake.clone(), 8);
    let mut goes_away = spawn(take(&store, 1));
    let mut leads = spawn(take(&store, 1));
    let mut follows = spawn(take(&store, 1));
    assert_pending!(goes_away.poll());
    assert_pending!(leads.poll());
    assert_pending!(follows.poll());

    drop(goes_away);
    fake.behave(ErrsAfter(MS));
    assert_pending!(leads.poll());
    assert_pending!(follows.poll());
    advance(MS).await;

    assert_ready_err!(leads.poll());
    assert_ready_err!(follows.poll());
    assert_eq!(fake.acts(), up_to(&[1, 1]));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_costs_more_than_there_ever_is_is_not_told_to_come_back() {
    let store = Fake::that(AnswersAtOnce);
    let mut api = leased(&store, Quota::per_hour(100).burst(3), 8)
        .cost(|_: &&str| 4)
        .build()
        .layer(Echo);

    refusal(&mut api, "get");

    assert_eq!(store.acts(), [Act::Take(4)]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_leased_is_asked_call_by_call() {
    let fake = Fake::that(AnswersAtOnce);
    let store = Leased::new(fake.clone(), 8);

    for cost in [0, 9, 101] {
        let answer = assert_ready_ok!(spawn(take(&store, cost)).poll());
        assert_eq!(answer.decision.admitted, cost < 101);
    }
    assert_eq!(fake.acts(), [0, 9, 101].map(Act::Take));

    let mut paced = LeakyBucketLayer::builder("mailer", Quota::per_hour(9))
        .registry(&Registry::new())
        .store(fake.clone())
        .lease(8)
        .build()
        .layer(Echo);
    assert_eq!(answered(&mut paced, "get", 2), 2);
    assert_eq!(fake.acts(), [Act::Take(1); 2]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_costs_more_than_is_left_adds_to_it() {
    let fake = Fake::that(AnswersAtOnce);
    let store = Leased::new(fake.clone(), 8);

    for cost in [3, 5, 7, 1] {
        assert!(
            assert_ready_ok!(spawn(take(&store, cost)).poll())
                .decision
                .admitted
        );
    }

    assert_eq!(fake.acts(), up_to(&[3, 5, 7, 8]));
    assert_eq!(fake.taken("api"), 23);
}

#[tokio::test(start_paused = true)]
async fn an_answer_says_what_is_held_too() {
    let store = Leased::new(Fake::that(AnswersAtOnce), 8);
    let remaining = || {
        let answer = assert_ready_ok!(spawn(take(&store, 1)).poll());
        answer.decision.status.remaining
    };

    let remaining = [
        remaining(),
        remaining(),
        remaining(),
        remaining(),
        remaining(),
    ];

    assert_eq!(remaining, [99, 98, 97, 96, 95]);
}

#[tokio::test(start_paused = true)]
async fn a_penalty_is_taken_out_of_what_is_held_first() {
    let store = Fake::that(AnswersAtOnce);
    let layer = leased(&store, Quota::per_hour(100), 8).build();
    let mut api = layer.layer(Echo);
    answered(&mut api, "get", 9);
    store.acts();

    // Six are held.
    layer.handle().penalize(4).await.unwrap();
    assert!(store.acts().is_empty());
    layer.handle().penalize(4).await.unwrap();

    assert_eq!(store.acts(), [Act::Charge(2)]);
}

#[tokio::test(start_paused = true)]
async fn keys_without_room_for_a_lease_are_asked_call_by_call() {
    let fake = Fake::that(AnswersAfter(MS));
    let store = Leased::new(fake.clone(), 8).max_keys(1);
    let quotas = Quotas::from(Quota::per_hour(100));
    let order = |key: &'static str| Order {
        policy: Name::new("api"),
        key: Some(Key::of(key)),
        rule: Rule::TokenBucket(&quotas),
        act: Act::Take(1),
        patience: Duration::MAX,
        timeout: Duration::MAX,
    };

    let _first = store.ask(&order("acme"));
    let _second = store.ask(&order("globex"));

    assert_eq!(fake.acts(), [Act::TakeUpTo(1), Act::Take(1)]);
}

#[test]
fn a_call_that_spends_a_lease_allocates_nothing() {
    let store = Fake::that(AnswersAtOnce);
    let layer = leased(&store, Quota::per_hour(100_000), 1_000);
    let mut api = layer.key(|_: &u64| Key::of("acme")).build().layer(Echo);
    let mut spend = |calls: u64| {
        for number in 0..calls {
            let call = pin!(api.call(number));
            let polled = call.poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Ok(_))));
        }
    };
    // The last lease was of a thousand.
    spend(1_100);

    assert_eq!(measure(|| spend(900)).count_total, 0);
}
