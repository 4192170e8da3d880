//! What a call costs.

use std::convert::Infallible;
use std::future::ready;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use http::{Request, Response};
use tokio::time::advance;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::Key;
use watertight_http::HttpExt;
use watertight_metrics::Registry;
use watertight_ratelimit::{
    Quota, RateLimitBuilder, RateLimitLayer, SlidingWindow, SlidingWindowConfig,
    SlidingWindowLayer, TokenBucket, TokenBucketConfig,
};

use crate::stage::{Echo, MS, bucket};

fn builder(tokens: u64) -> RateLimitBuilder<TokenBucket> {
    bucket(Quota::per_hour(tokens))
}

/// Makes a call, and returns whether it passes.
fn passes<S: Service<u64, Error = BoxError>>(service: &mut S, number: u64) -> bool {
    let mut future = pin!(service.call(number));
    let polled = future
        .as_mut()
        .poll(&mut Context::from_waker(Waker::noop()));
    let Poll::Ready(answer) = polled else {
        panic!("the call waits");
    };
    answer.is_ok()
}

/// Returns how often so many calls that pass allocate, after one of each key.
fn allocations<S: Service<u64, Error = BoxError>>(mut service: S) -> u64 {
    let mut call = |number| assert!(passes(&mut service, number));
    (0..100).for_each(&mut call);
    measure(|| (0..100).for_each(call)).count_total
}

#[test]
fn a_call_that_passes_allocates_nothing() {
    let plain = builder(1_000).and(Quota::per_day(2_000)).cost(|_: &u64| 2);
    assert_eq!(allocations(plain.build().layer(Echo)), 0);
    let keyed = builder(10).key(|number: &u64| Key::of(*number));
    let keyed = keyed.total(Quota::per_hour(1_000)).penalty(|_| 1);
    assert_eq!(allocations(keyed.build().layer(Echo)), 0);
    let planned = builder(1).plan("pro", Quota::per_hour(1_000));
    let planned = planned.plan_by(|_: &u64| Some("pro"));
    assert_eq!(allocations(planned.build().layer(Echo)), 0);
}

#[test]
fn an_answer_over_http_allocates_nothing_unless_it_tells_of_the_limit() {
    let over_http = |builder: RateLimitBuilder<TokenBucket>| {
        let inner = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(()))));
        let service = builder.http().build().layer(inner);
        service.map_request(|_: u64| Request::new(()))
    };

    assert_eq!(allocations(over_http(builder(1_000))), 0);
    let announced = over_http(builder(1_000).announce(true));
    assert!(allocations(announced) > 0);
}

#[test]
fn a_key_that_is_new_allocates_nothing() {
    let mut api = builder(10)
        .key(|number: &u64| Key::of(*number))
        .build()
        .layer(Echo);
    drop(api.call(0));

    let info = measure(|| {
        for number in 1..1_000 {
            drop(api.call(number));
        }
    });

    assert_eq!(info.count_total, 0);
}

/// The tables of the keys are there by then.
#[test]
fn the_first_key_finds_its_place_made() {
    let key = |number: &u64| Key::of(*number);
    let bytes = |api: &mut dyn FnMut() -> bool| measure(|| assert!(api())).bytes_total;

    let plain = builder(10).and(Quota::per_day(90)).key(key).build();
    let mut api = plain.layer(Echo);
    assert!(bytes(&mut || passes(&mut api, 0)) < 1_000);

    let config = TokenBucketConfig::new(Quota::per_hour(20));
    plain.handle().reconfigure(config).unwrap();
    assert!(bytes(&mut || passes(&mut api, 1)) < 1_000);

    let planned = builder(10).plan("pro", Quota::per_hour(90)).key(key);
    let planned = planned.plan_by(|_: &u64| Some("pro")).build();
    let mut api = planned.layer(Echo);
    assert!(bytes(&mut || passes(&mut api, 0)) < 1_000);

    let window = SlidingWindowLayer::builder("api", Quota::per_hour(10)).key(key);
    let mut api = window.registry(&Registry::new()).build().layer(Echo);
    assert!(bytes(&mut || passes(&mut api, 0)) < 1_000);
}

/// Each call is of a time of its own, so that a log has as many records as it can have.
#[tokio::test(start_paused = true)]
async fn a_window_allocates_nothing_once_its_key_has_come() {
    for (window, step) in [
        (SlidingWindow::Exact, 10 * MS),
        (SlidingWindow::Buckets(10), 20 * MS),
    ] {
        let layer = SlidingWindowLayer::builder("api", Quota::per_second(100))
            .window(window)
            .key(|tenant: &u64| Key::of(*tenant))
            .registry(&Registry::new())
            .build();
        let mut api = layer.layer(Echo);
        assert!(passes(&mut api, 7));

        for number in 0..200 {
            advance(step).await;
            let info = measure(|| assert!(passes(&mut api, 7)));
            assert_eq!(info.count_total, 0, "call {number} of {window:?}");
        }
    }
}

/// A log is whole from the first call, and again with the first that goes by another limit.
async fn log_never_grows<R>(builder: RateLimitBuilder<SlidingWindow, R>)
where
    R: Clone,
    RateLimitLayer<SlidingWindow, R>: Layer<Echo, Service: Service<u64, Error = BoxError>>,
{
    let layer = builder.exact().registry(&Registry::new()).build();
    let mut api = layer.layer(Echo);
    let config = |limit, max_keys| SlidingWindowConfig {
        algorithm: SlidingWindow::Exact,
        max_keys,
        ..SlidingWindowConfig::new(Quota::per_day(limit))
    };

    for number in 0..7_000 {
        let other = match number {
            0 => Some(config(2_000, SlidingWindowConfig::MAX_KEYS)),
            2_000 => Some(config(4_000, SlidingWindowConfig::MAX_KEYS)),
            4_000 => Some(config(7_000, 10)),
            _ => None,
        };
        let goes_on = other.is_none();
        if let Some(config) = other {
            layer.handle().reconfigure(config).unwrap();
        }
        advance(MS).await;
        let info = measure(|| assert!(passes(&mut api, number)));
        assert!(!goes_on || info.count_total == 0, "call {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_log_never_grows() {
    let builder = || SlidingWindowLayer::builder("api", Quota::per_day(10));
    log_never_grows(builder()).await;
    log_never_grows(builder().key(|_: &u64| Key::of(7_u64))).await;
}

#[test]
fn a_refusal_allocates_once() {
    let mut api = builder(1).build().layer(Echo);
    drop(Service::<u64>::call(&mut api, 0));
    let refused = |number| assert!(!passes(&mut api, number));

    assert_eq!(measure(|| (0..100).for_each(refused)).count_total, 100);
}
