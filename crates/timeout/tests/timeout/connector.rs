//! A client of hyper whose connector has a timeout, and whose calls have another.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::Instant;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use watertight_core::{Reason, Rejection};
use watertight_metrics::Registry;
use watertight_timeout::{TimeoutBuilder, TimeoutLayer};

const CONNECT: Duration = Duration::from_secs(3);
const REQUEST: Duration = Duration::from_secs(60);

fn timeout(name: &str, registry: &Registry) -> TimeoutBuilder {
    TimeoutLayer::builder(name).registry(registry)
}

/// Nobody answers at this host.
fn silent() -> impl Service<
    Uri,
    Response = <HttpConnector as Service<Uri>>::Response,
    Error = BoxError,
    Future: Send,
> + Clone
+ Send {
    service_fn(|_: Uri| std::future::pending())
}

#[tokio::test(start_paused = true)]
async fn gives_up_on_a_host_that_does_not_answer() {
    let registry = Registry::new();
    let connector = ServiceBuilder::new()
        .map_future(Box::pin)
        .layer(timeout("connect", &registry).limit(CONNECT).build())
        .service(silent());
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let mut client = ServiceBuilder::new()
        .layer(timeout("request", &registry).limit(REQUEST).build())
        .service(client);
    let start = Instant::now();

    let request = Request::get("http://silent.example/").body(Full::default());
    let error = client
        .ready()
        .await
        .unwrap()
        .call(request.unwrap())
        .await
        .unwrap_err();

    // hyper wraps what its connector says; it is found all the same.
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::TimedOut);
    assert_eq!(rejection.name(), "connect");
    assert!(Instant::now() - start < CONNECT + Duration::from_millis(10));
}

#[tokio::test(start_paused = true)]
async fn gives_up_on_a_request_that_takes_too_long() {
    let registry = Registry::new();
    let connector = ServiceBuilder::new()
        .map_future(Box::pin)
        .layer(timeout("connect", &registry).limit(2 * REQUEST).build())
        .service(silent());
    let client = Client::builder(TokioExecutor::new()).build::<_, Full<Bytes>>(connector);
    let mut client = ServiceBuilder::new()
        .layer(timeout("request", &registry).limit(REQUEST).build())
        .service(client);

    let request = Request::get("http://silent.example/").body(Full::default());
    let answer = client.ready().await.unwrap().call(request.unwrap()).await;

    let error = answer.unwrap_err();
    assert_eq!(Rejection::find(&*error).unwrap().name(), "request");
}
