//! A client of hyper on which each phase of a call has a timeout of its own.

use std::convert::Infallible;
use std::future::pending;
use std::net::SocketAddr;
use std::time::Duration;

use axum::routing::post;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use watertight_core::{Reason, Rejection};
use watertight_http::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, TimedBody};
use watertight_metrics::Registry;
use watertight_timeout::{TimeoutHandle, TimeoutLayer};

use super::bodies::endless;
use crate::server::{Server, bounded};
use crate::web;

/// Nothing that a test waits for is done in this time.
const SHORT: Duration = Duration::from_millis(20);

/// How long each phase of a call may take.
#[derive(Clone, Copy)]
struct Times {
    connect: Duration,
    pool: Duration,
    write: Duration,
    read: Duration,
    request: Duration,
}

/// Nothing takes so long here.
const TIMES: Times = Times {
    connect: Duration::from_secs(3_000),
    pool: Duration::from_secs(5_000),
    write: Duration::from_secs(15_000),
    read: Duration::from_secs(30_000),
    request: Duration::from_secs(60_000),
};

type Upload = UnsyncBoxBody<Bytes, Infallible>;

/// What a client says back.
type Answer = Result<Response<TimedBody<Incoming>>, BoxError>;

/// A client with one place in its pool, and what its timeouts have counted.
struct Phases<S> {
    client: S,
    server: Server,
    connect: TimeoutHandle,
    request: TimeoutHandle,
}

/// Starts a server, and a client for it.
async fn phases(
    times: Times,
) -> Phases<
    impl Service<Request<Upload>, Response = Response<TimedBody<Incoming>>, Error = BoxError> + Clone,
> {
    let registry = Registry::new();
    let timeout = |name: &str| TimeoutLayer::builder(name).registry(&registry);
    let connect = timeout("connect").limit(times.connect).build();
    let request = timeout("request")
        .limit(times.request)
        .ready(times.pool)
        .build();
    let (connecting, requesting) = (connect.handle(), request.handle());
    // hyper's client wants the futures of a connector to be `Unpin`.
    let connector = ServiceBuilder::new()
        .map_future(Box::pin)
        .layer(connect)
        .service(HttpConnector::new_with_resolver(service_fn(resolve)));
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let client = ServiceBuilder::new()
        .layer(request)
        .concurrency_limit(1)
        .layer(RequestBodyTimeoutLayer::new("write", times.write))
        .layer(ResponseBodyTimeoutLayer::new("read", times.read))
        .service(client);
    let hang = async || pending::<()>().await;
    let router = endless()
        .route("/echo", post(async |body: Bytes| body))
        .route("/hang", post(hang));
    Phases {
        client,
        server: web::axum(router).await,
        connect: connecting,
        request: requesting,
    }
}

/// Nobody knows where a host is.
async fn resolve(_: Name) -> Result<std::iter::Empty<SocketAddr>, Infallible> {
    pending().await
}

impl<S> Phases<S>
where
    S: Service<Request<Upload>, Response = Response<TimedBody<Incoming>>, Error = BoxError> + Clone,
{
    async fn post(&self, uri: &str, body: Upload) -> Answer {
        let request = Request::post(uri).body(body).unwrap();
        self.client.clone().oneshot(request).await
    }

    async fn say_hello(&self, path: &str) -> Answer {
        self.post(&self.server.uri(path), hello()).await
    }

    /// How many calls each timeout has ended: while connecting, before and after there was a place.
    fn ended(&self) -> [u64; 3] {
        let (connect, request) = (self.connect.snapshot(), self.request.snapshot());
        [connect.timed_out, request.not_ready, request.timed_out]
    }
}

fn hello() -> Upload {
    Full::from("hello").boxed_unsync()
}

/// A body that comes to a stop.
fn stuck() -> Upload {
    let begun = stream::once(async { Ok(Frame::data(Bytes::from("begun"))) });
    StreamBody::new(begun.chain(stream::pending())).boxed_unsync()
}

/// Returns why and by which layer a call was ended.
fn ended_by<T>(result: Result<T, BoxError>) -> (Reason, String) {
    let error = result.map(drop).unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    (rejection.reason(), rejection.name().to_owned())
}

#[tokio::test]
async fn a_call_in_time_passes_them_all() {
    bounded(async {
        let phases = phases(TIMES).await;

        let answer = phases.say_hello("/echo").await.unwrap();

        let body = answer.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "hello");
        assert_eq!(phases.ended(), [0, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn connecting() {
    bounded(async {
        let connect = SHORT;
        let phases = phases(Times { connect, ..TIMES }).await;

        let lost = phases.post("http://lost.example/echo", hello()).await;

        assert_eq!(ended_by(lost), (Reason::TimedOut, "connect".to_owned()));
        assert_eq!(phases.ended(), [1, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_place_in_the_pool() {
    bounded(async {
        let pool = SHORT;
        let phases = phases(Times { pool, ..TIMES }).await;
        let mut first = phases.client.clone();
        let first = first.ready().await.unwrap();

        let second = phases.say_hello("/echo").await;

        assert_eq!(ended_by(second), (Reason::NotReady, "request".to_owned()));
        assert_eq!(phases.ended(), [0, 1, 0]);
        let request = Request::post(phases.server.uri("/echo"));
        assert!(first.call(request.body(hello()).unwrap()).await.is_ok());
    })
    .await;
}

#[tokio::test]
async fn writing() {
    bounded(async {
        let write = SHORT;
        let phases = phases(Times { write, ..TIMES }).await;

        let answer = phases.post(&phases.server.uri("/echo"), stuck()).await;

        assert_eq!(ended_by(answer), (Reason::TimedOut, "write".to_owned()));
        assert_eq!(phases.ended(), [0, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn reading() {
    bounded(async {
        let read = SHORT;
        let phases = phases(Times { read, ..TIMES }).await;

        let answer = phases.say_hello("/endless").await.unwrap();
        let body = answer.into_body().collect().await;

        assert_eq!(ended_by(body), (Reason::TimedOut, "read".to_owned()));
        assert_eq!(phases.ended(), [0, 0, 0]);
    })
    .await;
}

#[tokio::test]
async fn the_whole_request() {
    bounded(async {
        let request = SHORT;
        let phases = phases(Times { request, ..TIMES }).await;

        let answer = phases.say_hello("/hang").await;

        assert_eq!(ended_by(answer), (Reason::TimedOut, "request".to_owned()));
        assert_eq!(phases.ended(), [0, 0, 1]);
    })
    .await;
}
