use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{DefaultBodyLimit, State};
use axum::routing::put;
use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::ServiceExt;
use watertight_core::{BoxError, Classify, Context, FailureKind, Repeat};
use watertight_http::{HttpClassifier, HttpRepeat, InboundLayer, ReplayBody};

use super::again::Again;
use crate::server::{Server, bounded};
use crate::web;

/// What an upstream has seen of a request: its length by the header, its body, the attempt.
type Seen = (Option<String>, usize, u32);

/// Notes all requests, and is unavailable to so many of them.
#[derive(Clone, Default)]
struct Upstream {
    seen: Arc<Mutex<Vec<Seen>>>,
    fails: usize,
}

impl Upstream {
    fn failing(fails: usize) -> Self {
        Self {
            fails,
            ..Self::default()
        }
    }

    async fn serve(&self) -> Server {
        let router = Router::new()
            .route("/", put(upload).post(upload))
            .layer(DefaultBodyLimit::disable())
            .with_state(self.clone())
            .layer(InboundLayer::new());
        web::axum(router).await
    }

    fn take(&self) -> Vec<Seen> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

async fn upload(
    State(upstream): State<Upstream>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, &'static str) {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.map(|length| length.to_str().unwrap().to_owned());
    let attempt = Context::current().upstream_attempt;
    let mut seen = upstream.seen.lock().unwrap();
    seen.push((length, body.len(), attempt));
    if seen.len() > upstream.fails {
        (StatusCode::OK, "got it")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "later")
    }
}

async fn send<B>(server: &Server, repeat: HttpRepeat, body: B) -> (StatusCode, String)
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let client: Client<HttpConnector, ReplayBody<B>> =
        Client::builder(TokioExecutor::new()).build_http();
    let stack = Again::new(repeat, client);
    let request = Request::put(server.uri("/")).body(body).unwrap();
    let response = stack.oneshot(request).await.unwrap();
    (response.status(), web::text(response).await)
}

#[tokio::test]
async fn a_body_in_memory_is_sent_three_times_with_its_length() {
    bounded(async {
        let upstream = Upstream::failing(2);
        let server = upstream.serve().await;

        let body = Full::new(Bytes::from(vec![7; 50_000]));
        let (status, text) = send(&server, HttpRepeat::new(), body).await;

        assert_eq!((status, &*text), (StatusCode::OK, "got it"));
        let length = Some("50000".to_owned());
        let seen = upstream.take();
        assert_eq!(
            seen,
            [0, 1, 2].map(|attempt| (length.clone(), 50_000, attempt))
        );
    })
    .await;
}

#[tokio::test]
async fn a_request_without_a_body_has_none_again() {
    bounded(async {
        let upstream = Upstream::failing(1);
        let server = upstream.serve().await;

        let (status, _) = send(&server, HttpRepeat::new(), Full::default()).await;

        assert_eq!(status, StatusCode::OK);
        let lengths = upstream.take().into_iter().map(|(_, length, _)| length);
        assert_eq!(lengths.collect::<Vec<_>>(), [0, 0]);
    })
    .await;
}

/// Frames of one known length in all, as a file has it.
#[tokio::test]
async fn a_stream_of_known_length_keeps_its_length() {
    bounded(async {
        let upstream = Upstream::failing(2);
        let server = upstream.serve().await;

        let body = super::stream::Sized::new(30, 1000);
        let (status, _) = send(&server, HttpRepeat::new(), body).await;

        assert_eq!(status, StatusCode::OK);
        let length = Some("30000".to_owned());
        let seen = upstream.take();
        assert_eq!(
            seen,
            [0, 1, 2].map(|attempt| (length.clone(), 30_000, attempt))
        );
    })
    .await;
}

#[tokio::test]
async fn a_body_beyond_the_cap_is_sent_once_and_whole() {
    bounded(async {
        let upstream = Upstream::failing(1);
        let server = upstream.serve().await;

        let known = Full::new(Bytes::from(vec![7; 200_000]));
        let (status, text) = send(&server, HttpRepeat::new(), known).await;
        assert_eq!((status, &*text), (StatusCode::SERVICE_UNAVAILABLE, "later"));
        assert_eq!(upstream.take(), [(Some("200000".to_owned()), 200_000, 0)]);

        let repeat = HttpRepeat::new();
        let stream = super::stream::Unsized(super::stream::Sized::new(200, 1000));
        let (status, text) = send(&server, repeat.clone(), stream).await;
        assert_eq!((status, &*text), (StatusCode::SERVICE_UNAVAILABLE, "later"));
        assert_eq!(upstream.take(), [(None, 200_000, 0)]);
        assert_eq!(repeat.kept_bytes(), 0);
    })
    .await;
}

/// Nothing is kept of such a body, and nothing was read of it.
#[tokio::test]
async fn a_post_that_found_nobody_is_sent_again_however_long_it_is() {
    bounded(async {
        let gone = Upstream::default().serve().await;
        let nowhere = gone.uri("/");
        gone.stop().await;
        let upstream = Upstream::default();
        let server = upstream.serve().await;
        let (repeat, classifier) = (HttpRepeat::new(), HttpClassifier::new());
        let client: Client<HttpConnector, ReplayBody<Full<Bytes>>> =
            Client::builder(TokioExecutor::new()).build_http();
        let body = Full::new(Bytes::from(vec![7; 1_000_000]));
        let post = Request::post(nowhere).body(body).unwrap();

        let (post, kept) = repeat.keep(post);
        let kept = kept.unwrap();
        let error: BoxError = client.request(post).await.unwrap_err().into();
        let outcome = Classify::<Response<()>>::classify(&classifier, Err(&*error));
        let failure = outcome.as_failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Connect);
        assert!(repeat.allows(&kept, failure));
        let mut again = repeat.again(&kept).unwrap();
        *again.uri_mut() = server.uri("/").parse().unwrap();
        let answer = client.request(again).await.unwrap();

        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(
            upstream.take(),
            [(Some("1000000".to_owned()), 1_000_000, 1)]
        );
        assert_eq!(repeat.kept_bytes(), 0);
        assert!(!repeat.allows(&kept, failure), "it was read");
    })
    .await;
}
