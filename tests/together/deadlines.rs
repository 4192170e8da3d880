//! What a breaker makes of callers who leave too little time, once the next service knows of it.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use watertight_breaker::{BreakerLayer, State};
use watertight_core::{Context, Reason, Rejection};
use watertight_http::{HttpExt, RespondExt};
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer, TimeoutLayer};

type Body = Empty<Bytes>;

const MS: Duration = Duration::from_millis(1);

/// Calls `next` 25 times with 40 ms each. Returns the breaker's state, and why the last call failed
/// if it did.
async fn state_after_calls<S, B>(next: S) -> (State, Option<Reason>)
where
    S: Service<Request<Body>, Response = Response<B>, Error = BoxError> + Clone,
    B: http_body::Body,
{
    let registry = Registry::new();
    let breaker = BreakerLayer::builder("next")
        .http()
        .registry(&registry)
        .build();
    let timeout = TimeoutLayer::builder("next")
        .limit(5000 * MS)
        .http()
        .registry(&registry);
    let outbound = PropagateDeadlineLayer::builder("next")
        .http()
        .registry(&registry);
    let stack = ServiceBuilder::new()
        .layer(breaker.clone())
        .layer(timeout.build())
        .layer(outbound.build())
        .service(next);
    let mut last = None;
    for _ in 0..25 {
        let context = Context {
            deadline: Some(Instant::now() + 40 * MS),
            ..Context::default()
        };
        let call = stack.clone().oneshot(Request::new(Body::new()));
        let answer = context.scope(call).await;
        last = answer
            .err()
            .and_then(|error| Some(Rejection::find(&*error)?.reason()));
    }
    (breaker.handle().state(), last)
}

#[tokio::test(start_paused = true)]
async fn callers_with_too_little_time_do_not_open_the_breaker_for_all() {
    let service = service_fn(|_: Request<Body>| async {
        sleep(400 * MS).await;
        Ok::<_, Infallible>(Response::new(Body::new()))
    });
    let inbound = DeadlineLayer::builder("inbound", 10_000 * MS)
        .http()
        .registry(&Registry::new())
        .build()
        .respond();
    let server = inbound.layer(service);
    // On another host there is no context.
    let next = service_fn(move |request| {
        let answer = tokio::spawn(server.clone().oneshot(request));
        async move { Ok::<_, BoxError>(answer.await??) }
    });

    let (state, last) = state_after_calls(next).await;

    assert_eq!(state, State::Closed);
    assert_eq!(last, Some(Reason::DeadlineExceeded));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_timeout_that_comes_early_opens_the_breaker() {
    let next = service_fn(|_: Request<Body>| async {
        let mut response = Response::new(Body::new());
        *response.status_mut() = StatusCode::GATEWAY_TIMEOUT;
        Ok::<_, BoxError>(response)
    });

    let (state, last) = state_after_calls(next).await;

    assert_eq!(state, State::Open);
    assert_eq!(last, Some(Reason::CircuitOpen));
}
