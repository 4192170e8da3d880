//! Uploads that stream, through a proxy and to two servers at once.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{self, Poll};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::IntoResponse;
use axum::routing::put;
use bytes::Bytes;
use futures_util::stream;
use http::{Response, StatusCode};
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::mpsc;
use tower::{Service, ServiceExt};
use watertight_core::Repeat;
use watertight_http::HttpRepeat;

use super::again::Again;
use crate::server::{Counter, Server, bounded};
use crate::web;

/// Frames of equal length, which say how long they are together.
pub(super) struct Sized {
    left: usize,
    frame: Bytes,
}

impl Sized {
    pub(super) fn new(frames: usize, length: usize) -> Self {
        Self {
            left: frames,
            frame: Bytes::from(vec![7; length]),
        }
    }
}

impl http_body::Body for Sized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(self.frame.clone()))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact((self.left * self.frame.len()) as u64)
    }
}

/// The same, without a word on the length.
pub(super) struct Unsized(pub(super) Sized);

impl http_body::Body for Unsized {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}

type Words = mpsc::UnboundedSender<&'static str>;

/// An upload that goes on when the test says so.
fn upload() -> (Words, Body) {
    let (words, said) = mpsc::unbounded_channel();
    let words_of = |mut said: mpsc::UnboundedReceiver<&'static str>| async move {
        let word = said.recv().await?;
        Some((Ok::<_, Infallible>(word), said))
    };
    (words, Body::from_stream(stream::unfold(said, words_of)))
}

type HttpClient = Client<HttpConnector, Body>;

fn client() -> HttpClient {
    Client::builder(TokioExecutor::new()).build_http()
}

fn put_to(server: &Server, body: Body) -> Request {
    Request::put(server.uri("/")).body(body).unwrap()
}

/// Says back what it is sent.
async fn echo() -> Server {
    web::axum(Router::new().route("/", put(async |body: String| body))).await
}

/// Answers the first request as soon as its first words are there, before it has come to its end,
/// and says the others back.
async fn hasty(calls: Counter) -> Server {
    let answer = async move |request: Request| {
        calls.count();
        let mut body = request.into_body();
        if calls.get() == 1 {
            let first = body.frame().await.unwrap().unwrap();
            assert_eq!(first.into_data().unwrap(), "one ");
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let whole = body.collect().await.unwrap().to_bytes();
        whole.into_response()
    };
    web::axum(Router::new().route("/", put(answer))).await
}

/// Passes requests on to `upstream`, and retries them.
async fn proxy(upstream: &Server) -> Server {
    let repeat = HttpRepeat::new().same_body(Body::new);
    let stack = Again::new(repeat, client());
    let uri = upstream.uri("/");
    let pass_on = async move |mut request: Request| {
        *request.uri_mut() = uri.parse().unwrap();
        let answer = stack.clone().oneshot(request).await;
        answer.unwrap().map(Body::new)
    };
    web::axum(Router::new().route("/", put(pass_on))).await
}

#[tokio::test]
async fn an_upload_through_axum_is_retried_before_it_has_come_to_its_end() {
    bounded(async {
        let calls = Counter::default();
        let upstream = hasty(calls.clone()).await;
        let proxy = proxy(&upstream).await;
        let (words, body) = upload();
        words.send("one ").unwrap();

        let answer = tokio::spawn(client().request(put_to(&proxy, body)));
        while calls.get() < 2 {
            tokio::task::yield_now().await;
        }
        words.send("two ").unwrap();
        words.send("three").unwrap();
        drop(words);

        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(web::text(answer).await, "one two three");
        assert_eq!(calls.get(), 2);
    })
    .await;
}

async fn answered(response: Response<hyper::body::Incoming>) -> String {
    web::text(response).await
}

#[tokio::test]
async fn two_servers_at_once_get_the_same_upload() {
    bounded(async {
        let servers = [echo().await, echo().await];
        let repeat = HttpRepeat::new().same_body(Body::new);
        let (words, body) = upload();
        let (first, kept) = repeat.keep(put_to(&servers[0], body));
        let mut second = repeat.again(&kept.unwrap()).unwrap();
        *second.uri_mut() = servers[1].uri("/").parse().unwrap();

        let answers = [first, second].map(|request| tokio::spawn(client().request(request)));
        for _ in 0..1000 {
            words.send("0123456789").unwrap();
            tokio::task::yield_now().await;
        }
        drop(words);

        for answer in answers {
            let text = answered(answer.await.unwrap().unwrap()).await;
            assert_eq!(text, "0123456789".repeat(1000));
        }
    })
    .await;
}

#[tokio::test]
async fn who_wins_gets_the_whole_upload_though_the_other_is_gone() {
    bounded(async {
        let (heard, mut is_heard) = mpsc::unbounded_channel();
        let never = async move |request: Request| {
            let mut body = request.into_body();
            body.frame().await.unwrap().unwrap();
            heard.send(()).unwrap();
            std::future::pending::<StatusCode>().await
        };
        let loser = web::axum(Router::new().route("/", put(never))).await;
        let winner = echo().await;
        let repeat = HttpRepeat::new().same_body(Body::new);
        let (words, body) = upload();
        words.send("one ").unwrap();
        let (first, kept) = repeat.keep(put_to(&loser, body));
        let kept = kept.unwrap();

        let mut primary = client();
        let lost = tokio::spawn(primary.call(first));
        is_heard.recv().await.unwrap();
        let mut second = repeat.again(&kept).unwrap();
        *second.uri_mut() = winner.uri("/").parse().unwrap();
        let won = tokio::spawn(client().request(second));
        words.send("two ").unwrap();
        lost.abort();
        drop((primary, kept));
        words.send("three").unwrap();
        drop(words);

        assert_eq!(answered(won.await.unwrap().unwrap()).await, "one two three");
    })
    .await;
}
