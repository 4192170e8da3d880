//! How clients are told apart in each host.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::ConnectInfo;
use axum::routing::get as on_get;
use bytes::Bytes;
use http::{HeaderName, Request, Response};
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tonic::Code;
use tonic::transport::Server as GrpcServer;
use tonic::transport::server::{TcpConnectInfo, TcpIncoming};
use tower::{ServiceBuilder, service_fn};
use watertight_http::{HttpExt, Peer, PeerKey, RespondExt, TrustedProxies};
use watertight_metrics::Registry;
use watertight_ratelimit::{Quota, RateLimitBuilder, TokenBucket, TokenBucketLayer};

use crate::echo::{EchoClient, EchoServer, Speaker, word};
use crate::server::{Server, bounded};
use crate::web::{client, get};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Two requests of each client, and no more while a test runs.
fn two_each() -> RateLimitBuilder<TokenBucket> {
    TokenBucketLayer::builder("door", Quota::per_day(2)).registry(&Registry::new())
}

/// Believes whoever is on this machine.
fn behind_loopback() -> PeerKey {
    PeerKey::new().behind(TrustedProxies::x_forwarded_for(["127.0.0.0/8", "::1"]).unwrap())
}

/// Serves a router by axum, which says who is connected.
async fn axum(router: Router) -> Server {
    let service = router.into_make_service_with_connect_info::<SocketAddr>();
    Server::start(|listener| async { axum::serve(listener, service).await }).await
}

async fn status(server: &Server, forwarded: &[&str]) -> u16 {
    let mut request = get(&server.uri("/"));
    for line in forwarded {
        let line = line.parse().unwrap();
        request.headers_mut().append(X_FORWARDED_FOR, line);
    }
    let response = client().request(request).await.unwrap();
    response.status().as_u16()
}

#[tokio::test]
async fn axum_says_who_is_connected() {
    bounded(async {
        let by = PeerKey::new().peer(|it| Some(it.get::<ConnectInfo<SocketAddr>>()?.0));
        let limit = two_each().http().key_by(by).build().respond();
        let router = Router::new().route("/", on_get(async || "hello"));
        let server = axum(router.layer(limit)).await;

        // Each from a port of its own, and with a name of its own.
        assert_eq!(status(&server, &["6.6.6.1"]).await, 200);
        assert_eq!(status(&server, &["6.6.6.2"]).await, 200);
        assert_eq!(status(&server, &["6.6.6.3"]).await, 429);
    })
    .await;
}

#[tokio::test]
async fn clients_behind_a_proxy_have_their_own_quotas() {
    bounded(async {
        let by = behind_loopback().peer(|it| Some(it.get::<ConnectInfo<SocketAddr>>()?.0));
        let limit = two_each().http().key_by(by).build().respond();
        let router = Router::new().route("/", on_get(async || "hello"));
        let server = axum(router.layer(limit)).await;

        for spoofed in ["6.6.6.1", "\"", "unknown"] {
            let expected = if spoofed == "unknown" { 429 } else { 200 };
            let line = format!("{spoofed}, 203.0.113.9");
            assert_eq!(status(&server, &[&line]).await, expected);
        }
        assert_eq!(status(&server, &["203.0.113.1", "203.0.113.9"]).await, 429);
        assert_eq!(status(&server, &["203.0.113.1"]).await, 200);
        // Whom the proxy does not know.
        assert_eq!(status(&server, &["203.0.113.1, unknown"]).await, 400);
    })
    .await;
}

#[tokio::test]
async fn axum_that_is_not_asked_says_nothing() {
    bounded(async {
        let limit = two_each().http().key_by(PeerKey::new()).build().respond();
        let router = Router::new().route("/", on_get(async || "hello"));
        let server = axum(router.layer(limit)).await;

        assert_eq!(status(&server, &[]).await, 400);
    })
    .await;
}

#[tokio::test]
async fn tonic_says_who_is_connected() {
    bounded(async {
        let by = behind_loopback().peer(|it| it.get::<TcpConnectInfo>()?.remote_addr());
        let limit = two_each().grpc().key_by(by).build().respond();
        let mut server = GrpcServer::builder().layer(limit);
        let router = server.add_service(EchoServer::new(Speaker::default()));
        let server =
            Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await;
        let mut echo = EchoClient::connect(server.uri("")).await.unwrap();
        let mut code = async |client: &'static str| {
            let mut request = tonic::Request::new(word("hello"));
            let value = tonic::metadata::MetadataValue::from_static(client);
            request.metadata_mut().insert("x-forwarded-for", value);
            match echo.unary(request).await {
                Ok(_) => Code::Ok,
                Err(status) => status.code(),
            }
        };

        assert_eq!(code("2001:db8::1").await, Code::Ok);
        assert_eq!(code("6.6.6.6, 2001:db8::2").await, Code::Ok);
        assert_eq!(code("2001:db8::3").await, Code::ResourceExhausted);
        assert_eq!(code("2001:db8:0:1::1").await, Code::Ok);
    })
    .await;
}

#[tokio::test]
async fn hyper_is_told_who_is_connected() {
    bounded(async {
        let limit = two_each().http().key_by(PeerKey::new()).build();
        let hello = service_fn(async |_: Request<_>| {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::default()))
        });
        let service = ServiceBuilder::new().layer(limit.respond()).service(hello);
        let serve = |listener: TcpListener| async move {
            while let Ok((stream, address)) = listener.accept().await {
                let service = ServiceBuilder::new()
                    .map_request(move |mut request: Request<hyper::body::Incoming>| {
                        request.extensions_mut().insert(Peer(address));
                        request
                    })
                    .service(service.clone());
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), TowerToHyperService::new(service));
                tokio::spawn(connection);
            }
        };
        let server = Server::start(serve).await;

        assert_eq!(status(&server, &["6.6.6.1"]).await, 200);
        assert_eq!(status(&server, &["6.6.6.2"]).await, 200);
        assert_eq!(status(&server, &["6.6.6.3"]).await, 429);
    })
    .await;
}
