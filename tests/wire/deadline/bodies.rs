//! Bodies that take longer than they may.

use std::convert::Infallible;
use std::error::Error;
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http_body_util::BodyExt;
use tonic::Code;
use tonic::transport::Server as GrpcServer;
use tonic::transport::server::TcpIncoming;
use tower::{Layer, ServiceExt};
use watertight_core::{Reason, Rejection};
use watertight_http::{HttpExt, RespondExt, ResponseBodyTimeoutLayer};
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineBuilder, DeadlineLayer};

use crate::echo::{EchoClient, EchoServer, Speaker, word};
use crate::server::{Server, bounded};
use crate::web::{self, client, get};

/// Long enough for a head to come, however busy the machine is.
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(3600);

fn inbound() -> DeadlineBuilder {
    DeadlineLayer::builder("inbound", SHORT).registry(&Registry::new())
}

/// A service whose bodies begin, and never end.
pub(super) fn endless() -> Router {
    let begun = || stream::once(async { Ok::<_, Infallible>("begun") });
    let body = move || async move { Body::from_stream(begun().chain(stream::pending())) };
    Router::new().fallback(body)
}

fn reason(error: &(dyn Error + 'static)) -> Option<Reason> {
    Rejection::find(error).map(Rejection::reason)
}

#[tokio::test]
async fn the_body_of_a_response_is_broken_off_at_the_deadline_of_its_call() {
    bounded(async {
        let server = web::axum(endless().layer(inbound().http().build().respond())).await;

        let answer = client().request(get(&server.uri("/"))).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let mut body = answer.into_body();
        let begun = body.frame().await.unwrap().unwrap();

        assert_eq!(begun.into_data().unwrap(), "begun");
        assert!(body.frame().await.unwrap().is_err());
    })
    .await;
}

#[tokio::test]
async fn a_stream_of_grpc_ends_with_a_status_at_its_deadline() {
    bounded(async {
        let layer = inbound().grpc().build();
        let handle = layer.handle();
        let router = GrpcServer::builder()
            .layer(layer.respond())
            .add_service(EchoServer::new(Speaker::default()));
        let server =
            Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await;
        let mut client = EchoClient::connect(server.uri("")).await.unwrap();

        let said = stream::iter([word("hello")]).chain(stream::pending());
        let mut heard = client.chat(said).await.unwrap().into_inner();

        assert_eq!(heard.next().await.unwrap().unwrap(), word("hello"));
        let ended = heard.next().await.unwrap().unwrap_err();
        assert_eq!(ended.code(), Code::DeadlineExceeded);
        assert_eq!(handle.snapshot().cut_off, 1);
    })
    .await;
}

#[tokio::test]
async fn a_client_does_not_wait_for_the_next_frame_for_ever() {
    bounded(async {
        let server = web::axum(endless()).await;
        let layer = ResponseBodyTimeoutLayer::builder("read")
            .frame(SHORT)
            .whole(LONG)
            .build();

        let answer = layer.layer(client()).oneshot(get(&server.uri("/")));
        let mut body = pin!(answer.await.unwrap().into_body());
        let begun = body.frame().await.unwrap().unwrap();
        let ended = body.frame().await.unwrap().unwrap_err();

        assert_eq!(begun.into_data().unwrap(), "begun");
        assert_eq!(reason(&*ended), Some(Reason::TimedOut));
    })
    .await;
}
