use axum::Router;
use axum::routing::get as on_get;
use http::StatusCode;
use tokio::net::TcpListener;
use tower::{Service, ServiceBuilder, ServiceExt};
use watertight_breaker::State;
use watertight_core::{BoxError, Classify, DynError, FailureKind, Outcome, Reason, Rejection};
use watertight_http::{HttpClassifier, HttpExt, RespondExt};

use super::{ENOUGH, breaker};
use crate::server::{Counter, Server, bounded};
use crate::web::{self, client, get, text};

/// An upstream that answers with this status, and counts its requests.
async fn upstream(status: StatusCode, asked: &Counter) -> Server {
    let asked = asked.clone();
    let answer = async move || {
        asked.count();
        status
    };
    web::axum(Router::new().route("/", on_get(answer))).await
}

/// The URI of a port on which nobody listens any more.
async fn nowhere() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/", listener.local_addr().unwrap())
}

fn reason(error: &DynError) -> Option<Reason> {
    Rejection::find(error).map(Rejection::reason)
}

#[tokio::test]
async fn goes_onto_a_hyper_client() {
    bounded(async {
        let asked = Counter::default();
        let upstream = upstream(StatusCode::BAD_GATEWAY, &asked).await;
        let mut stack = ServiceBuilder::new()
            .layer(breaker().http().build())
            .service(client());

        for _ in 0..ENOUGH {
            let call = stack.ready().await.unwrap().call(get(&upstream.uri("/")));
            assert_eq!(call.await.unwrap().status(), StatusCode::BAD_GATEWAY);
        }
        let call = stack.ready().await.unwrap().call(get(&upstream.uri("/")));
        let error: BoxError = call.await.unwrap_err();

        assert_eq!(reason(&*error), Some(Reason::CircuitOpen));
        assert_eq!(asked.get(), ENOUGH);
    })
    .await;
}

#[tokio::test]
async fn what_the_client_got_wrong_opens_nothing() {
    bounded(async {
        let asked = Counter::default();
        let upstream = upstream(StatusCode::NOT_FOUND, &asked).await;
        let layer = breaker().http().build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());

        for _ in 0..3 * ENOUGH {
            let answer = stack
                .clone()
                .oneshot(get(&upstream.uri("/")))
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::NOT_FOUND);
        }

        assert_eq!(layer.handle().state(), State::Closed);
    })
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_a_connect_failure_and_opens_it() {
    bounded(async {
        let uri = nowhere().await;
        let layer = breaker().http().build();
        let stack = ServiceBuilder::new().layer(layer.clone()).service(client());

        for _ in 0..ENOUGH {
            let error = stack.clone().oneshot(get(&uri)).await.unwrap_err();
            let outcome =
                Classify::<http::Response<()>>::classify(&HttpClassifier::new(), Err(&*error));
            assert_eq!(outcome, Outcome::failure(FailureKind::Connect));
        }

        assert_eq!(layer.handle().state(), State::Open);
    })
    .await;
}

#[tokio::test]
async fn a_client_can_have_refusals_as_answers() {
    bounded(async {
        let uri = nowhere().await;
        let layer = breaker().http().build();
        let handle = layer.handle();
        let stack = ServiceBuilder::new()
            .layer(layer.respond_rejections())
            .service(client());

        let broken = stack.clone().oneshot(get(&uri)).await;
        handle.force_open();
        let refused = stack.oneshot(get(&uri)).await.unwrap();

        assert!(broken.is_err());
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(text(refused).await.contains("circuit_open"));
    })
    .await;
}
