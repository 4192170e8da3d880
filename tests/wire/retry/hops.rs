//! Services that call services, each of which retries.

use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use watertight_core::{Backoff, BoxError, Budget, Unnoted};
use watertight_http::{HttpExt, HttpNotes, InboundLayer, ReplayBody, RespondExt};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

use crate::server::{Counter, Server, bounded};
use crate::web::{self, get};

/// What keeps retries from adding up.
#[derive(Clone, Copy)]
struct Means {
    /// A layer that gave up says so.
    marks: bool,
    /// A service that is told of a retry makes none.
    guard: bool,
}

/// Calls `uri` up to three times.
async fn call(
    uri: String,
    means: Means,
) -> Result<http::Response<hyper::body::Incoming>, BoxError> {
    let client: Client<_, ReplayBody<Full<Bytes>>> =
        Client::builder(TokioExecutor::new()).build_http();
    let retry = RetryLayer::builder("next")
        .http()
        .backoff(Backoff::constant(Duration::ZERO))
        .budget(Budget::unlimited())
        .amplification_guard(means.guard)
        .registry(&Registry::new());
    if means.marks {
        let retry = retry.notes(HttpNotes).build();
        retry.layer(client).oneshot(get(&uri)).await
    } else {
        let retry = retry.notes(Unnoted).build();
        retry.layer(client).oneshot(get(&uri)).await
    }
}

/// A service that answers as the one behind it does.
async fn hop(next: &Server, means: Means) -> Server {
    let uri = next.uri("/");
    let forward = async move || match call(uri, means).await {
        Ok(answer) => answer.map(Body::new),
        Err(_) => {
            let mut answer = Response::default();
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            answer
        }
    };
    web::axum(Router::new().fallback(forward).layer(InboundLayer::new())).await
}

/// Returns how often a service is called that always fails, behind two others.
async fn calls_at_the_bottom(means: Means) -> usize {
    let called = Counter::default();
    let counter = called.clone();
    let fail = async move || {
        counter.count();
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let bottom = web::axum(Router::new().fallback(fail)).await;
    let middle = hop(&bottom, means).await;
    let top = hop(&middle, means).await;

    let answer = call(top.uri("/"), means).await.unwrap();

    assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
    assert_eq!(
        answer.headers().contains_key("x-retry-exhausted"),
        means.marks
    );
    called.get()
}

#[tokio::test]
async fn three_hops_of_three_attempts_make_three_calls() {
    bounded(async {
        for (marks, guard, calls) in [
            (true, true, 3),
            (true, false, 3),
            (false, true, 7),
            (false, false, 27),
        ] {
            let seen = calls_at_the_bottom(Means { marks, guard }).await;
            println!("marks {marks}, guard {guard}: {seen} calls at the bottom");
            assert_eq!(seen, calls, "marks {marks}, guard {guard}");
        }
    })
    .await;
}

/// An error that a retry layer gave up on is an answer with the mark.
#[tokio::test]
async fn an_error_that_was_retried_is_answered_with_the_mark() {
    bounded(async {
        let gone = web::axum(Router::new()).await;
        let uri = gone.uri("/");
        gone.stop().await;
        let client: Client<_, ReplayBody<Body>> =
            Client::builder(TokioExecutor::new()).build_http();
        let retry = RetryLayer::builder("gone")
            .http()
            .backoff(Backoff::constant(Duration::ZERO))
            .budget(Budget::unlimited())
            .registry(&Registry::new())
            .build();
        let handle = retry.handle();
        let request = http::Request::get(uri).body(Body::empty()).unwrap();

        let answer = retry
            .respond()
            .layer(client)
            .oneshot(request)
            .await
            .unwrap();

        assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
        assert_eq!(answer.headers()["x-retry-exhausted"], "1");
        assert_eq!(handle.snapshot().retries, 2);
    })
    .await;
}
