//! How far a context reaches in each host, and where not.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};

use axum::Router;
use axum::body::Body;
use axum::routing::get as on_get;
use bytes::Bytes;
use futures_util::future::{MapOk, TryFutureExt};
use futures_util::{StreamExt, stream};
use http::{Request, Response};
use http_body_util::Full;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Endpoint, Server as GrpcServer, Uri};
use tower::buffer::Buffer;
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use watertight_core::{Context, Priority, Scoped};
use watertight_http::ScopedBody;

use crate::echo::{EchoClient, EchoServer, Speaker, word};
use crate::server::{Server, bounded};
use crate::web::{self, client, get, text};

/// Makes every call an urgent one, as an inbound layer does that reads headers.
#[derive(Clone, Copy)]
struct Urgent {
    bodies: bool,
}

/// With the bodies of the responses, by [`ScopedBody`].
const URGENT: Urgent = Urgent { bodies: true };

/// The heads alone.
const URGENT_HEADS: Urgent = Urgent { bodies: false };

impl<S> Layer<S> for Urgent {
    type Service = Urgently<S>;

    fn layer(&self, inner: S) -> Urgently<S> {
        Urgently {
            inner,
            urgent: *self,
        }
    }
}

#[derive(Clone)]
struct Urgently<S> {
    inner: S,
    urgent: Urgent,
}

impl<S, B, R> Service<Request<B>> for Urgently<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ScopedBody<R>>;
    type Error = S::Error;
    type Future = MapOk<Scoped<S::Future>, fn(Response<R>) -> Response<ScopedBody<R>>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let response = urgent().call(&mut self.inner, request);
        if self.urgent.bodies {
            response.map_ok(|response| response.map(|body| ScopedBody::new(body, urgent())))
        } else {
            response.map_ok(|response| response.map(ScopedBody::unscoped))
        }
    }
}

fn urgent() -> Context {
    Context {
        priority: Priority::Critical,
        ..Context::default()
    }
}

async fn seen() -> String {
    format!("{:?}", Context::current().priority)
}

/// A body whose one frame says what it sees when it is made.
fn seen_by_a_stream() -> Body {
    Body::from_stream(stream::once(seen()).map(Ok::<_, Infallible>))
}

#[tokio::test]
async fn an_axum_handler_sees_it_and_what_it_spawns_does_not() {
    bounded(async {
        let router = Router::new()
            .route("/here", on_get(seen))
            .route(
                "/spawned",
                on_get(async || tokio::spawn(seen()).await.unwrap()),
            )
            .route(
                "/carried",
                on_get(async || {
                    let carried = Context::current().scope(seen());
                    tokio::spawn(carried).await.unwrap()
                }),
            )
            .layer(URGENT);
        let server = web::axum(router).await;
        let ask = async |path| text(client().request(get(&server.uri(path))).await.unwrap()).await;

        assert_eq!(ask("/here").await, "Critical");
        assert_eq!(ask("/spawned").await, "Normal");
        assert_eq!(ask("/carried").await, "Critical");
    })
    .await;
}

#[tokio::test]
async fn a_tonic_handler_sees_it_and_so_do_its_streams() {
    bounded(async {
        let router = GrpcServer::builder()
            .layer(URGENT)
            .add_service(EchoServer::new(Speaker::default()));
        let server =
            Server::start(|listener| router.serve_with_incoming(TcpIncoming::from(listener))).await;
        let mut client = EchoClient::connect(server.uri("")).await.unwrap();

        let unary = client.unary(word("priority")).await.unwrap().into_inner();
        let stream = client.stream(word("priority")).await.unwrap().into_inner();
        let words: Vec<_> = stream.map(|word| word.unwrap().text).collect().await;

        assert_eq!(unary.text, "Critical");
        assert_eq!(words, ["Critical"; 3]);
    })
    .await;
}

#[tokio::test]
async fn a_service_of_hypers_sees_it() {
    bounded(async {
        let service = ServiceBuilder::new().layer(URGENT).service_fn(|_| async {
            Ok::<_, Infallible>(Response::new(Full::<Bytes>::from(seen().await)))
        });
        let server = web::hyper(service).await;

        let response = client().request(get(&server.uri("/"))).await.unwrap();

        assert_eq!(text(response).await, "Critical");
    })
    .await;
}

#[tokio::test]
async fn a_stream_sees_it_by_a_scoped_body_alone() {
    bounded(async {
        let streaming = || Router::new().route("/", on_get(async || seen_by_a_stream()));
        let scoped = web::axum(streaming().layer(URGENT)).await;
        let bare = web::axum(streaming().layer(URGENT_HEADS)).await;

        let scoped = client().request(get(&scoped.uri("/"))).await.unwrap();
        let bare = client().request(get(&bare.uri("/"))).await.unwrap();

        assert_eq!(text(scoped).await, "Critical");
        assert_eq!(text(bare).await, "Normal");
    })
    .await;
}

#[tokio::test]
async fn a_client_that_a_handler_calls_sees_it() {
    bounded(async {
        let upstream = web::axum(Router::new().route(
            "/",
            on_get(async |request: axum::extract::Request| {
                request.headers()["x-priority"].to_str().unwrap().to_owned()
            }),
        ))
        .await;
        let uri = upstream.uri("/");
        let stack = ServiceBuilder::new()
            .map_request(|mut request: Request<_>| {
                let priority = format!("{:?}", Context::current().priority);
                let headers = request.headers_mut();
                headers.insert("x-priority", priority.parse().unwrap());
                request
            })
            .service(client());
        let calls = async move || text(stack.oneshot(get(&uri)).await.unwrap()).await;
        let server = web::axum(Router::new().route("/", on_get(calls)).layer(URGENT)).await;

        let response = client().request(get(&server.uri("/"))).await.unwrap();

        assert_eq!(text(response).await, "Critical");
    })
    .await;
}

/// A buffer's worker makes the calls, and hands their futures back to be polled where they are
/// awaited. Our layers read the context in `call`.
#[tokio::test]
async fn a_call_below_a_buffer_does_not_see_it_though_its_future_does() {
    bounded(async {
        let inner = service_fn(|()| {
            let in_call = Context::current().priority;
            async move { Ok::<_, Infallible>((in_call, Context::current().priority)) }
        });
        let stack = ServiceBuilder::new()
            .map_response(|below| (Context::current().priority, below))
            .service(Buffer::new(inner, 1));

        let (above, (in_call, in_future)) = urgent().scope(stack.oneshot(())).await.unwrap();

        assert_eq!(above, Priority::Critical);
        assert_eq!(in_call, Priority::Normal);
        assert_eq!(in_future, Priority::Critical);
    })
    .await;
}

/// tonic's `Channel` is a buffer too: here its connector is what lies below.
#[tokio::test]
async fn what_is_below_the_worker_of_a_tonic_channel_does_not_see_it() {
    bounded(async {
        let below = Arc::new(Mutex::new(Vec::new()));
        let seen_below = Arc::clone(&below);
        let connector = service_fn(move |_: Uri| {
            let priority = Context::current().priority;
            seen_below.lock().unwrap().push(priority);
            async { Err::<hyper_util::rt::TokioIo<tokio::net::TcpStream>, _>("no such host") }
        });
        let channel =
            Endpoint::from_static("http://upstream").connect_with_connector_lazy(connector);
        let above = Arc::new(Mutex::new(Vec::new()));
        let seen_above = Arc::clone(&above);
        let stack = ServiceBuilder::new()
            .map_request(move |request: Request<tonic::body::Body>| {
                seen_above.lock().unwrap().push(Context::current().priority);
                request
            })
            .service(channel);
        let mut client = EchoClient::new(stack);

        let answer = urgent().scope(client.unary(word("hello"))).await;

        assert!(answer.is_err());
        assert_eq!(*above.lock().unwrap(), [Priority::Critical]);
        assert_eq!(below.lock().unwrap()[0], Priority::Normal);
    })
    .await;
}
