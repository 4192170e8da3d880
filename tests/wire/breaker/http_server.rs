use std::convert::Infallible;

use axum::Router;
use axum::routing::{MethodRouter, get as on_get};
use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::Full;
use tower::ServiceBuilder;
use watertight_breaker::State;
use watertight_http::{HttpExt, RespondExt};

use super::{ENOUGH, breaker};
use crate::echo::{EchoClient, EchoServer, Speaker, word};
use crate::server::{Counter, Server, bounded};
use crate::web::{self, client, get, text};

/// A handler that is broken, and counts how often it is asked.
fn broken(asked: &Counter) -> MethodRouter {
    let asked = asked.clone();
    on_get(async move || {
        asked.count();
        StatusCode::INTERNAL_SERVER_ERROR
    })
}

async fn status(server: &Server, path: &str) -> u16 {
    let response = client().request(get(&server.uri(path))).await.unwrap();
    response.status().as_u16()
}

/// Sees a server break, and its breaker open.
async fn opens(server: &Server, asked: &Counter) {
    for _ in 0..ENOUGH {
        assert_eq!(status(server, "/").await, 500);
    }
    let refused = client().request(get(&server.uri("/"))).await.unwrap();

    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(
        refused.headers()["content-type"],
        "application/problem+json"
    );
    assert!(text(refused).await.contains("circuit_open"));
    assert_eq!(asked.get(), ENOUGH);
}

#[tokio::test]
async fn goes_into_an_axum_router() {
    bounded(async {
        let asked = Counter::default();
        let router = Router::new()
            .route("/", broken(&asked))
            .layer(breaker().http().build().respond());

        opens(&web::axum(router).await, &asked).await;
    })
    .await;
}

#[tokio::test]
async fn goes_into_the_routes_of_an_axum_router() {
    bounded(async {
        let asked = Counter::default();
        let router = Router::new()
            .route("/", broken(&asked))
            .route_layer(breaker().http().build().respond());

        opens(&web::axum(router).await, &asked).await;
    })
    .await;
}

#[tokio::test]
async fn goes_into_a_method_router() {
    bounded(async {
        let asked = Counter::default();
        let route = broken(&asked).layer(breaker().http().build().respond());
        let router = Router::new().route("/", route);

        opens(&web::axum(router).await, &asked).await;
    })
    .await;
}

#[tokio::test]
async fn goes_into_a_service_builder() {
    bounded(async {
        let asked = Counter::default();
        let stack = ServiceBuilder::new().layer(breaker().http().build().respond());
        let router = Router::new().route("/", broken(&asked)).layer(stack);

        opens(&web::axum(router).await, &asked).await;
    })
    .await;
}

#[tokio::test]
async fn goes_into_a_server_of_hypers() {
    bounded(async {
        let asked = Counter::default();
        let counted = asked.clone();
        let service = ServiceBuilder::new()
            .layer(breaker().http().build().respond())
            .service_fn(move |_| {
                counted.count();
                async {
                    let response = Response::builder().status(500);
                    Ok::<_, Infallible>(response.body(Full::<Bytes>::default()).unwrap())
                }
            });

        opens(&web::hyper(service).await, &asked).await;
    })
    .await;
}

#[tokio::test]
async fn a_router_that_applies_it_to_each_route_has_one_breaker() {
    bounded(async {
        let asked = Counter::default();
        let router = Router::new()
            .route("/a", broken(&asked))
            .route("/b", broken(&asked))
            .route("/c", on_get(async || "fine"))
            .fallback_service(broken(&asked))
            .layer(breaker().http().build().respond());
        let server = web::axum(router).await;

        for path in ["/a", "/b", "/a", "/nowhere"] {
            assert_eq!(status(&server, path).await, 500, "{path}");
        }

        for path in ["/a", "/b", "/c", "/nowhere"] {
            assert_eq!(status(&server, path).await, 503, "{path}");
        }
        assert_eq!(asked.get(), ENOUGH);
    })
    .await;
}

#[tokio::test]
async fn clones_of_a_layer_are_one_breaker_wherever_they_are() {
    bounded(async {
        let asked = Counter::default();
        let layer = breaker().http().build();
        let one = Router::new().route("/", broken(&asked).layer(layer.clone().respond()));
        let other = Router::new()
            .route("/", on_get(async || "fine"))
            .layer(layer.clone().respond());
        let (one, other) = (web::axum(one).await, web::axum(other).await);
        assert_eq!(status(&other, "/").await, 200);

        for _ in 0..ENOUGH {
            status(&one, "/").await;
        }

        assert_eq!(status(&other, "/").await, 503);
        assert_eq!(layer.handle().state(), State::Open);
    })
    .await;
}

#[tokio::test]
async fn a_router_of_both_kinds_answers_each_in_its_own() {
    bounded(async {
        let layer = breaker().http().build();
        let handle = layer.handle();
        let heard = Counter::default();
        let router = Router::new()
            .route("/", on_get(async || "fine"))
            .route_service(
                "/echo.Echo/{*method}",
                EchoServer::new(Speaker::heard_by(&heard)),
            )
            .layer(layer.respond());
        let server = web::axum(router).await;
        let mut grpc = EchoClient::connect(server.uri("")).await.unwrap();
        assert_eq!(status(&server, "/").await, 200);
        assert_eq!(
            grpc.unary(word("hi")).await.unwrap().into_inner().text,
            "hi"
        );

        handle.force_open();
        let refused = grpc.unary(word("hi")).await.unwrap_err();

        assert_eq!(status(&server, "/").await, 503);
        assert_eq!(refused.code(), tonic::Code::Unavailable);
        assert_eq!(refused.message(), "circuit open");
        assert_eq!(heard.get(), 1);
    })
    .await;
}
