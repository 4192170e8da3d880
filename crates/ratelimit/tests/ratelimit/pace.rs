//! Calls that wait for their turns.

use std::time::Duration;

use tokio::time::{Instant, advance};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_test::mock;
use watertight_core::{Context, Key, Mode, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_ratelimit::{
    LeakyBucket, LeakyBucketConfig, LeakyBucketLayer, Quota, RateLimitBuilder,
};

use crate::stage::{Echo, MS, SECOND, answered, call, counted, refusal};

/// Ten a second: a turn every 100 ms.
fn leaky() -> RateLimitBuilder<LeakyBucket> {
    LeakyBucketLayer::builder("api", Quota::per_second(10)).registry(&Registry::new())
}

/// Makes a call that has to wait.
fn wait<S>(api: &mut S, request: &'static str) -> Spawn<S::Future>
where
    S: Service<&'static str, Response = &'static str, Error = BoxError>,
{
    let mut call = spawn(api.call(request));
    assert_pending!(call.poll(), "{request} did not wait");
    call
}

/// Lets time pass by milliseconds until a call is answered, and returns how many those were.
async fn answered_after<F, T>(call: &mut Spawn<F>) -> u32
where
    F: Future<Output = Result<T, BoxError>>,
    T: std::fmt::Debug,
{
    for passed in 0..10_000 {
        if call.poll().is_ready() {
            return passed;
        }
        advance(MS).await;
    }
    panic!("it is not answered in ten seconds");
}

#[tokio::test(start_paused = true)]
async fn calls_start_at_an_even_pace_in_their_order() {
    let mut api = leaky().queue(5).build().layer(Echo);

    call(&mut api, "first").unwrap();
    let mut second = wait(&mut api, "second");
    let mut third = wait(&mut api, "third");

    assert_eq!(answered_after(&mut second).await, 100);
    assert_pending!(third.poll());
    assert_eq!(answered_after(&mut third).await, 100);
    advance(50 * MS).await;
    let mut fourth = wait(&mut api, "fourth");
    assert_eq!(answered_after(&mut fourth).await, 50);
}

#[tokio::test(start_paused = true)]
async fn past_the_queue_a_call_is_refused_at_once() {
    let mut api = leaky().queue(2).build().layer(Echo);
    call(&mut api, "first").unwrap();
    let _waiting = [wait(&mut api, "second"), wait(&mut api, "third")];

    let rejection = refusal(&mut api, "fourth");

    assert_eq!(rejection.retry_after(), Some(100 * MS));
    assert_eq!(rejection.quota().unwrap().remaining, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_is_too_far_off_is_refused_at_once() {
    let mut api = leaky().queue(100).max_wait(150 * MS).build().layer(Echo);
    call(&mut api, "first").unwrap();
    let _waiting = wait(&mut api, "second");

    assert_eq!(refusal(&mut api, "third").retry_after(), Some(50 * MS));
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_turn_comes_after_its_deadline_is_refused_when_it_comes() {
    let mut api = leaky().queue(100).build().layer(Echo);
    call(&mut api, "first").unwrap();
    let within = |time: Duration| Context {
        deadline: Some(Instant::now() + time),
        ..Context::default()
    };

    let mut late = spawn(within(99 * MS).enter(|| api.call("late")));
    let mut in_time = spawn(within(100 * MS).enter(|| api.call("in time")));

    let error = assert_ready_err!(late.poll());
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::DeadlineExceeded);
    assert_eq!(rejection.retry_after(), None);
    assert_eq!(answered_after(&mut in_time).await, 100);
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_as_much_as_the_slack_starts_at_once() {
    let mut api = leaky().slack(3).build().layer(Echo);

    assert_eq!(answered(&mut api, "get", 10), 4);
    advance(100 * MS).await;
    assert_eq!(answered(&mut api, "get", 10), 1);
    advance(60 * SECOND).await;
    assert_eq!(answered(&mut api, "get", 10), 4);
}

#[tokio::test(start_paused = true)]
async fn the_turn_of_a_call_that_goes_away_is_given_back_if_no_later_one_depends_on_it() {
    let registry = Registry::new();
    let layer = leaky()
        .queue(5)
        .total(Quota::per_second(100))
        .registry(&registry)
        .build();
    let mut api = layer.layer(Echo);
    call(&mut api, "first").unwrap();
    let second = wait(&mut api, "second");
    let third = wait(&mut api, "third");

    drop(third);
    let mut fourth = wait(&mut api, "fourth");
    drop(second);
    let mut fifth = wait(&mut api, "fifth");

    let snapshot = layer.handle().snapshot();
    assert_eq!((snapshot.queued, snapshot.in_flight), (2, 2));
    assert_eq!(snapshot.total.unwrap().remaining, 97);
    assert_eq!(counted(&registry).calls.cancelled, 2);
    assert_eq!(answered_after(&mut fourth).await, 200);
    assert_eq!(answered_after(&mut fifth).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_the_total_refuses_is_given_back() {
    let layer = leaky().queue(5).total(Quota::per_hour(2)).build();
    let mut api = layer.layer(Echo);
    call(&mut api, "first").unwrap();
    let mut second = wait(&mut api, "second");

    let rejection = refusal(&mut api, "third");

    assert_eq!(rejection.quota().unwrap().policy.as_str(), "api/total");
    assert_eq!(answered_after(&mut second).await, 100);
    assert_eq!(layer.handle().snapshot().status.reset, 100 * MS);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_leaves_the_ready_instance_to_the_next_one() {
    let (mock, mut backend) = mock::pair::<&'static str, &'static str>();
    let mut api = leaky().queue(5).slack(1).build().layer(mock);
    backend.allow(3);
    for _ in 0..2 {
        assert_ready_ok!(spawn(()).enter(|cx, _| api.poll_ready(cx)));
        drop(spawn(api.call("at once")));
    }
    assert_ready_ok!(spawn(()).enter(|cx, _| api.poll_ready(cx)));

    let mut waiting = wait(&mut api, "waits");
    backend.allow(0);
    assert_ready_ok!(spawn(()).enter(|cx, _| api.poll_ready(cx)));
    advance(100 * MS).await;
    // The clone is driven to readiness only now.
    assert_pending!(waiting.poll());
    backend.allow(1);
    assert!(waiting.is_woken());
    assert_pending!(waiting.poll());

    let mut requests = Vec::new();
    while let std::task::Poll::Ready(Some((request, reply))) =
        spawn(()).enter(|_, _| backend.poll_request())
    {
        requests.push(request);
        reply.send_response("done");
    }
    assert_eq!(requests, ["at once", "at once", "waits"]);
    assert_eq!(assert_ready_ok!(waiting.poll()), "done");
}

#[tokio::test(start_paused = true)]
async fn a_service_that_fails_to_be_ready_after_the_wait_is_a_failure() {
    let registry = Registry::new();
    let (mock, mut backend) = mock::pair::<&'static str, &'static str>();
    let mut api = leaky().queue(5).registry(&registry).build().layer(mock);
    backend.allow(1);
    assert_ready_ok!(spawn(()).enter(|cx, _| api.poll_ready(cx)));
    drop(spawn(api.call("at once")));
    let mut waiting = wait(&mut api, "waits");

    backend.send_error("gone");
    advance(100 * MS).await;

    let error = assert_ready_err!(waiting.poll());
    assert!(Rejection::find(&*error).is_none());
    let calls = counted(&registry).calls;
    assert_eq!((calls.failure, calls.cancelled), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn keys_wait_for_turns_of_their_own() {
    let layer = leaky()
        .queue(5)
        .key(|tenant: &&str| Key::of(*tenant))
        .build();
    let mut api = layer.layer(Echo);

    call(&mut api, "acme").unwrap();
    let mut acme = wait(&mut api, "acme");
    call(&mut api, "globex").unwrap();
    let mut globex = wait(&mut api, "globex");

    assert_eq!(answered_after(&mut acme).await, 100);
    assert_eq!(assert_ready_ok!(globex.poll()), "globex");
}

#[tokio::test(start_paused = true)]
async fn in_shadow_nothing_waits_and_all_that_would_have_is_counted() {
    let registry = Registry::new();
    let layer = leaky()
        .queue(2)
        .mode(Mode::Shadow)
        .registry(&registry)
        .build();
    let mut api = layer.layer(Echo);

    assert_eq!(answered(&mut api, "get", 5), 5);

    let counted = counted(&registry);
    let shadow = counted
        .rejections
        .iter()
        .filter(|it| it.mode == Mode::Shadow);
    assert_eq!(shadow.map(|it| it.count).sum::<u64>(), 4);
    assert_eq!((counted.calls.success, counted.queue_depth), (1, Some(0)));
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_call_that_would_come_too_late_is_counted_as_that() {
    let registry = Registry::new();
    let shadow = leaky().queue(2).mode(Mode::Shadow).registry(&registry);
    let mut api = shadow.build().layer(Echo);
    call(&mut api, "first").unwrap();

    let hurried = Context {
        deadline: Some(Instant::now() + 50 * MS),
        ..Context::default()
    };
    assert_eq!(hurried.enter(|| answered(&mut api, "late", 1)), 1);

    let rejections = counted(&registry).rejections.into_iter();
    let counted: Vec<_> = rejections.filter(|it| it.count > 0).collect();
    let [rejected] = &counted[..] else {
        panic!("it is counted once: {counted:?}");
    };
    assert_eq!(
        (rejected.reason, rejected.mode),
        (Reason::DeadlineExceeded, Mode::Shadow)
    );
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_shows_how_many_wait_and_for_how_long() {
    let registry = Registry::new();
    let mut api = leaky().queue(5).registry(&registry).build().layer(Echo);
    call(&mut api, "first").unwrap();
    let mut second = wait(&mut api, "second");
    let mut third = wait(&mut api, "third");

    assert_eq!(counted(&registry).queue_depth, Some(2));
    advance(100 * MS).await;
    assert_ready_ok!(second.poll());
    assert_pending!(third.poll());

    let snapshot = counted(&registry);
    assert_eq!(snapshot.queue_depth, Some(1));
    let median = snapshot.queue_wait.unwrap().p50.unwrap();
    assert!(median.abs_diff(100 * MS) < 5 * MS, "{median:?}");
}

/// There was none when the call came, or another one.
#[tokio::test(start_paused = true)]
async fn a_call_that_leaves_gives_a_total_nothing_that_it_has_not_taken() {
    let total = Some(Quota::per_hour(3).into());
    for at_first in [None, total.clone()] {
        let mut config = LeakyBucketConfig::new(Quota::per_second(10));
        config.algorithm.queue = 5;
        config.total = at_first;
        let layer = LeakyBucketLayer::from_config("api", config.clone()).registry(&Registry::new());
        let layer = layer.key(|tenant: &&str| Key::of(*tenant)).build();
        let mut api = layer.layer(Echo);
        call(&mut api, "acme").unwrap();
        let waiting = wait(&mut api, "acme");

        for total in [None, total.clone()] {
            config.total = total;
            layer.handle().reconfigure(config.clone()).unwrap();
        }
        call(&mut api, "globex").unwrap();
        drop(waiting);

        let total = layer.handle().snapshot().total.unwrap();
        assert_eq!(total.remaining, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_leaves_gives_its_total_back_what_it_has_taken() {
    let mut config = LeakyBucketConfig::new(Quota::per_second(10));
    config.algorithm.queue = 5;
    config.total = Some(Quota::per_hour(3).into());
    let layer = LeakyBucketLayer::from_config("api", config.clone()).registry(&Registry::new());
    let layer = layer.build();
    let mut api = layer.layer(Echo);
    call(&mut api, "first").unwrap();
    let waiting = wait(&mut api, "second");

    config.total = Some(Quota::per_hour(10).into());
    layer.handle().reconfigure(config).unwrap();
    drop(waiting);

    let total = layer.handle().snapshot().total.unwrap();
    assert_eq!(total.remaining, 9);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_woken_and_goes_over_to_the_new_pace() {
    let layer = leaky().queue(5).build();
    let mut api = layer.layer(Echo);
    call(&mut api, "first").unwrap();
    let mut second = wait(&mut api, "second");
    let mut third = wait(&mut api, "third");

    let change = |rate| layer.handle().reconfigure(waiting_100(rate, 0)).unwrap();
    change(1);
    assert!(second.is_woken());
    drop(third);
    assert_eq!(answered_after(&mut second).await, 1_000);

    third = wait(&mut api, "another third");
    change(50);
    assert!(third.is_woken());
    assert_eq!(answered_after(&mut third).await, 20);
}

#[tokio::test(start_paused = true)]
async fn who_waits_keeps_the_order_and_the_rate_when_the_limit_changes() {
    for (rate, slack, last_at) in [(10, 0, 3_900), (2, 0, 19_500), (1, 5, 34_000)] {
        let (since, layer) = (Instant::now(), leaky().queue(100).build());
        let handle = layer.handle();
        handle.reconfigure(waiting_100(1, 0)).unwrap();
        let api = layer.layer(service_fn(move |number: usize| async move {
            Ok::<_, BoxError>(((Instant::now() - since).as_millis(), number))
        }));
        let start = |number| tokio::spawn(api.clone().oneshot(number));

        let mut calls: Vec<_> = (0..20).map(start).collect();
        tokio::task::yield_now().await;
        handle.reconfigure(waiting_100(rate, slack)).unwrap();
        calls.extend((20..40).map(start));

        let mut started = Vec::new();
        for call in calls {
            started.push(call.await.unwrap().unwrap());
        }
        started.sort_unstable();
        assert!(started.iter().is_sorted_by_key(|(_, number)| number));
        for (start, _) in &started {
            let within = started
                .iter()
                .filter(|(at, _)| (*start..start + 1_000).contains(at));
            assert!(within.count() as u64 <= rate + slack, "at {start} ms");
        }
        // The timer goes by milliseconds.
        assert!(started[39].0.abs_diff(last_at) <= 1, "{:?}", started[39]);
        assert_eq!(handle.snapshot().queued, 0);
    }
}

fn waiting_100(rate: u64, slack: u64) -> LeakyBucketConfig {
    let mut config = LeakyBucketConfig::new(Quota::per_second(rate));
    (config.algorithm.queue, config.algorithm.slack) = (100, slack);
    config
}

#[tokio::test(start_paused = true)]
async fn with_a_max_wait_of_nothing_none_waits() {
    let mut api = leaky()
        .queue(5)
        .max_wait(Duration::ZERO)
        .build()
        .layer(Echo);
    call(&mut api, "first").unwrap();

    assert_eq!(refusal(&mut api, "second").retry_after(), Some(100 * MS));
    advance(100 * MS).await;
    call(&mut api, "third").unwrap();
}
