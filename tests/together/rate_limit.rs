//! What other layers make of a call that a rate limit refuses, or keeps waiting.

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, advance};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use watertight_breaker::{BreakerLayer, State};
use watertight_bulkhead::BulkheadLayer;
use watertight_core::{Always, Reason, Rejection};
use watertight_http::{HttpExt, RespondExt};
use watertight_metrics::Registry;
use watertight_ratelimit::{
    LeakyBucketLayer, Quota, RateLimitBuilder, TokenBucket, TokenBucketLayer,
};
use watertight_retry::RetryLayer;

/// One call, and another after ten seconds.
fn limit(registry: &Registry) -> RateLimitBuilder<TokenBucket> {
    TokenBucketLayer::builder("api", Quota::per_minute(6))
        .burst(1)
        .registry(registry)
}

/// Returns how many calls the limit has refused.
fn refused(registry: &Registry) -> u64 {
    let layers = registry.snapshot().instances;
    let limits = layers.iter().filter(|layer| layer.kind == "token_bucket");
    limits.map(|limit| limit.calls.rejected).sum()
}

#[tokio::test(start_paused = true)]
async fn a_refused_call_is_no_failure_to_a_breaker_on_either_side() {
    let registry = Registry::new();
    let breaker = |name| {
        let breaker = BreakerLayer::builder(name).consecutive_failures(1);
        breaker.registry(&registry).build()
    };
    let (above, below) = (breaker("above"), breaker("below"));
    let (top, bottom) = (above.handle(), below.handle());
    let calls = Arc::new(AtomicU32::new(0));
    let called = Arc::clone(&calls);
    let mut api = ServiceBuilder::new()
        .layer(above)
        .layer(limit(&registry).build())
        .layer(below)
        .service_fn(move |()| {
            called.fetch_add(1, Ordering::Relaxed);
            ready(Ok::<_, BoxError>(()))
        });
    api.ready().await.unwrap().call(()).await.unwrap();

    for _ in 0..100 {
        let error = api.ready().await.unwrap().call(()).await.unwrap_err();
        let reason = Rejection::find(&*error).unwrap().reason();
        assert_eq!(reason, Reason::RateLimited);
    }

    assert_eq!(
        (top.state(), bottom.state()),
        (State::Closed, State::Closed)
    );
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_does_not_wait_for_a_limit_of_its_own_process() {
    let registry = Registry::new();
    let retry = RetryLayer::builder("api").repeat(Always);
    let mut api = ServiceBuilder::new()
        .layer(retry.registry(&registry).build())
        .layer(limit(&registry).build())
        .service_fn(|()| ready(Ok::<_, BoxError>(())));
    api.ready().await.unwrap().call(()).await.unwrap();
    let start = Instant::now();

    let error = api.ready().await.unwrap().call(()).await.unwrap_err();

    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.retry_after(), Some(Duration::from_secs(10)));
    assert_eq!(Instant::now(), start);
    assert_eq!(refused(&registry), 1);
}

#[tokio::test(start_paused = true)]
async fn a_retry_comes_again_when_the_limit_of_a_server_says() {
    let registry = Registry::new();
    let calls = Arc::new(AtomicU32::new(0));
    let called = Arc::clone(&calls);
    let server = ServiceBuilder::new()
        .layer(limit(&registry).http().build().respond())
        .service_fn(move |_: Request<_>| {
            called.fetch_add(1, Ordering::Relaxed);
            ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
        });
    let client = RetryLayer::builder("api")
        .http()
        .registry(&registry)
        .build();
    let mut client = ServiceBuilder::new().layer(client).service(server);
    let request = || Request::new(Full::<Bytes>::default());
    client.ready().await.unwrap().call(request()).await.unwrap();
    let start = Instant::now();

    let answer = client.ready().await.unwrap().call(request()).await.unwrap();

    assert_eq!(answer.status(), StatusCode::OK);
    // No attempt came before it was told to.
    assert!(Instant::now() - start >= Duration::from_secs(10));
    assert_eq!(refused(&registry), 1);
    assert_eq!(calls.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_turn_has_no_place_in_the_bulkhead_below() {
    let registry = Registry::new();
    let pace = LeakyBucketLayer::builder("mailer", Quota::per_second(1)).queue(5);
    let bulkhead = BulkheadLayer::builder("mailer", 1)
        .registry(&registry)
        .build();
    let places = bulkhead.handle();
    let mut mailer = ServiceBuilder::new()
        .layer(pace.registry(&registry).build())
        .layer(bulkhead)
        .service_fn(|()| ready(Ok::<_, BoxError>(())));
    mailer.ready().await.unwrap().call(()).await.unwrap();

    let mut first = spawn(mailer.ready().await.unwrap().call(()));
    assert_pending!(first.poll());
    let mut second = spawn(mailer.ready().await.unwrap().call(()));
    assert_pending!(second.poll());
    assert_eq!(places.snapshot().in_flight, 0);

    advance(Duration::from_secs(1)).await;
    assert_ready!(first.poll()).unwrap();
    assert_pending!(second.poll());
    advance(Duration::from_secs(1)).await;
    assert_ready!(second.poll()).unwrap();
}
