//! Calls that are over when their bodies are, however much of them is read.

use std::convert::Infallible;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http_body_util::BodyExt;
use tokio::sync::mpsc;
use tokio::task::yield_now;
use tower::{ServiceBuilder, ServiceExt};
use watertight_breaker::State;
use watertight_http::{AtBodyEnd, HttpExt, RespondExt};

use super::{ENOUGH, breaker};
use crate::server::{Server, bounded};
use crate::web::{self, client, get};

/// A body that never ends. What is sent is the first chunk; `gone` is told when it is dropped.
fn endless(gone: Option<mpsc::UnboundedSender<()>>) -> Body {
    struct Gone(Option<mpsc::UnboundedSender<()>>);

    impl Drop for Gone {
        fn drop(&mut self) {
            if let Some(gone) = &self.0 {
                let _ = gone.send(());
            }
        }
    }

    let gone = Gone(gone);
    let chunks = stream::once(async { Ok::<_, Infallible>(Bytes::from_static(b"first")) });
    Body::from_stream(chunks.chain(stream::pending()).map(move |chunk| {
        let _gone = &gone;
        chunk
    }))
}

/// An upstream whose answers have this status and never end.
async fn upstream(status: StatusCode) -> Server {
    let answer = async move || (status, endless(None));
    web::axum(Router::new().route("/", on_get(answer))).await
}

#[tokio::test]
async fn a_client_that_drops_bodies_unread_gives_its_verdicts() {
    bounded(async {
        let upstream = upstream(StatusCode::INTERNAL_SERVER_ERROR).await;
        let layer = breaker().http().finish(AtBodyEnd).build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());

        for _ in 0..ENOUGH {
            assert_eq!(layer.handle().state(), State::Closed);
            drop(
                stack
                    .clone()
                    .oneshot(get(&upstream.uri("/")))
                    .await
                    .unwrap(),
            );
        }

        assert_eq!(layer.handle().state(), State::Open);
        assert_eq!(layer.handle().in_flight(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_reads_a_part_gives_its_verdicts() {
    bounded(async {
        let upstream = upstream(StatusCode::INTERNAL_SERVER_ERROR).await;
        let layer = breaker().http().finish(AtBodyEnd).build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());

        for _ in 0..ENOUGH {
            let answer = stack
                .clone()
                .oneshot(get(&upstream.uri("/")))
                .await
                .unwrap();
            let first = answer.into_body().frame().await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "first");
        }

        assert_eq!(layer.handle().state(), State::Open);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_holds_bodies_unread_gives_its_verdicts() {
    bounded(async {
        let upstream = upstream(StatusCode::INTERNAL_SERVER_ERROR).await;
        let layer = breaker().http().finish(AtBodyEnd).build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());
        let mut held = Vec::new();

        for _ in 0..ENOUGH {
            assert_eq!(layer.handle().state(), State::Closed);
            let call = stack.clone().oneshot(get(&upstream.uri("/")));
            held.push(call.await.unwrap());
        }

        assert_eq!(layer.handle().state(), State::Open);
        assert_eq!(layer.handle().in_flight(), held.len());
    })
    .await;
}

/// Nobody polls a body of known length to its `None`: hyper's own server does not, for one.
#[tokio::test]
async fn a_body_of_known_length_ends_its_call_with_its_last_frame() {
    bounded(async {
        let answer = async || (StatusCode::INTERNAL_SERVER_ERROR, "of known length");
        let upstream = web::axum(Router::new().route("/", on_get(answer))).await;
        let layer = breaker().http().finish(AtBodyEnd).build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());
        let mut held = Vec::new();

        for _ in 0..ENOUGH {
            let call = stack.clone().oneshot(get(&upstream.uri("/")));
            let mut body = call.await.unwrap().into_body();
            let last = body.frame().await.unwrap().unwrap();
            assert_eq!(last.into_data().unwrap(), "of known length");
            held.push(body);
        }

        assert_eq!(layer.handle().state(), State::Open);
        assert_eq!(layer.handle().in_flight(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_server_gets_its_verdicts_from_clients_that_read() {
    bounded(async {
        let layer = breaker().http().finish(AtBodyEnd).build();
        let handle = layer.handle();
        let answer = async || (StatusCode::INTERNAL_SERVER_ERROR, "of known length");
        let router = Router::new()
            .route("/", on_get(answer))
            .layer(layer.respond());
        let server = web::axum(router).await;

        for _ in 0..ENOUGH {
            let answer = client().request(get(&server.uri("/"))).await.unwrap();
            assert_eq!(web::text(answer).await, "of known length");
        }

        assert_eq!(handle.state(), State::Open);
        assert_eq!(handle.in_flight(), 0);
    })
    .await;
}

#[tokio::test]
async fn a_client_that_goes_away_gives_a_server_its_verdicts() {
    bounded(async {
        let layer = breaker().http().finish(AtBodyEnd).build();
        let handle = layer.handle();
        let (gone, mut is_gone) = mpsc::unbounded_channel();
        let answer = async move || (StatusCode::INTERNAL_SERVER_ERROR, endless(Some(gone)));
        let router = Router::new()
            .route("/", on_get(answer))
            .layer(layer.respond());
        let server = web::axum(router).await;

        for _ in 0..ENOUGH {
            let client = client();
            let answer = client.request(get(&server.uri("/"))).await.unwrap();
            assert_eq!(handle.in_flight(), 1);
            drop((answer, client));
            is_gone.recv().await.unwrap();
        }

        assert_eq!(handle.state(), State::Open);
        assert_eq!(handle.in_flight(), 0);
    })
    .await;
}

/// The heads of probes decide, so that a breaker does not wait for streams to end.
#[tokio::test]
async fn a_client_that_never_reads_its_bodies_closes_a_breaker_again() {
    bounded(async {
        let upstream = upstream(StatusCode::OK).await;
        let layer = breaker()
            .http()
            .finish(AtBodyEnd)
            .open_for(Duration::from_millis(1))
            .half_open_timeout(Duration::from_secs(3600))
            .half_open_calls(1)
            .close_after(2)
            .start(State::Open)
            .build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());
        let call = || stack.clone().oneshot(get(&upstream.uri("/")));

        // It is refused until the open time is over.
        let first = loop {
            match call().await {
                Ok(probe) => break probe,
                Err(_) => yield_now().await,
            }
        };
        let second = call().await.unwrap();

        assert_eq!(layer.handle().state(), State::Closed);
        assert_eq!(layer.handle().in_flight(), 2);
        drop((first, second));
    })
    .await;
}
