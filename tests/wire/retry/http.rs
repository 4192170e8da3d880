use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use watertight_core::FailureKind;
use watertight_http::{HttpExt, ReplayBody};

use super::retry;
use crate::server::{Server, bounded};
use crate::web::{self, get};

type Replaying = Client<HttpConnector, ReplayBody<Full<Bytes>>>;

fn client() -> Replaying {
    Client::builder(TokioExecutor::new()).build_http()
}

/// What an upstream was asked: the body, and which attempt it was.
type Heard = Arc<Mutex<Vec<(Bytes, Option<String>)>>>;

/// An upstream that answers with these statuses in turn, and with 200 after that.
async fn upstream(answers: &[(u16, &'static str)], heard: &Heard) -> Server {
    let (mut answers, heard) = (answers.to_vec(), Arc::clone(heard));
    answers.reverse();
    let answers = Arc::new(Mutex::new(answers));
    let answer = async move |headers: HeaderMap, body: Bytes| {
        let attempt = headers.get("x-retry-attempt");
        let attempt = attempt.map(|attempt| attempt.to_str().unwrap().to_owned());
        heard.lock().unwrap().push((body, attempt));
        let (status, after) = answers.lock().unwrap().pop().unwrap_or((200, ""));
        let mut headers = HeaderMap::new();
        if !after.is_empty() {
            headers.insert("retry-after", after.parse().unwrap());
        }
        (StatusCode::from_u16(status).unwrap(), headers)
    };
    web::axum(Router::new().fallback(answer)).await
}

fn put(uri: &str, body: &'static str) -> Request<Full<Bytes>> {
    Request::put(uri).body(Full::from(body)).unwrap()
}

#[tokio::test]
async fn a_request_is_sent_again_whole_and_says_which_attempt_it_is() {
    bounded(async {
        let heard = Heard::default();
        let upstream = upstream(&[(503, ""), (502, "")], &heard).await;
        let stack = retry().http().build().layer(client());

        let answer = stack.oneshot(put(&upstream.uri("/"), "order")).await;

        assert_eq!(answer.unwrap().status(), StatusCode::OK);
        let attempt = |attempt: Option<&str>| {
            let attempt = attempt.map(str::to_owned);
            (Bytes::from_static(b"order"), attempt)
        };
        let attempts = [None, Some("1"), Some("2")].map(attempt);
        assert_eq!(*heard.lock().unwrap(), attempts);
    })
    .await;
}

#[tokio::test]
async fn what_may_not_be_sent_twice_is_sent_once() {
    bounded(async {
        let heard = Heard::default();
        let upstream = upstream(&[(503, ""), (503, "")], &heard).await;
        let layer = retry().http().build();
        let post = || {
            let post = Request::post(upstream.uri("/"));
            post.body(Full::from("order")).unwrap()
        };
        let with_key = {
            let mut post = post();
            let headers = post.headers_mut();
            headers.insert("idempotency-key", "\"8e03978e\"".parse().unwrap());
            post
        };

        let first = layer.layer(client()).oneshot(post()).await.unwrap();
        assert_eq!(first.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(layer.handle().snapshot().given_up["not_repeatable"], 1);

        let second = layer.layer(client()).oneshot(with_key).await.unwrap();
        assert_eq!(second.status(), StatusCode::OK);
        assert_eq!(heard.lock().unwrap().len(), 3);
    })
    .await;
}

#[tokio::test]
async fn hints_are_obeyed_and_long_ones_go_up() {
    bounded(async {
        let heard = Heard::default();
        let upstream = upstream(&[(429, "0"), (429, "3600")], &heard).await;
        let layer = retry().http().build();

        let answer = layer.layer(client()).oneshot(get(&upstream.uri("/"))).await;

        let answer = answer.unwrap();
        assert_eq!(answer.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(answer.headers()["retry-after"], "3600");
        assert!(!answer.headers().contains_key("x-retry-exhausted"));
        assert_eq!(heard.lock().unwrap().len(), 2);
        assert_eq!(layer.handle().snapshot().given_up["hint"], 1);
    })
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_tried_again() {
    bounded(async {
        let gone = upstream(&[], &Heard::default()).await;
        let uri = gone.uri("/");
        gone.stop().await;
        let layer = retry().http().build();

        let error = layer.layer(client()).oneshot(get(&uri)).await.unwrap_err();

        let outcome = watertight_core::judge(
            &watertight_http::HttpClassifier::new(),
            Err::<&http::Response<()>, _>(&*error),
        );
        let kind = outcome.as_failure().unwrap().kind;
        assert_eq!(kind, FailureKind::Connect);
        assert_eq!(layer.handle().snapshot().retries, 2);
    })
    .await;
}

/// The credentials are put on below the retry layer.
#[tokio::test]
async fn credentials_that_are_refused_are_fetched_anew() {
    bounded(async {
        let check = async |headers: HeaderMap| match headers["authorization"].to_str() {
            Ok("7") => StatusCode::OK,
            _ => StatusCode::UNAUTHORIZED,
        };
        let upstream = web::axum(Router::new().fallback(check)).await;
        let token = Arc::new(AtomicU16::new(6));
        let held = Arc::clone(&token);
        let fetch = move || {
            let held = Arc::clone(&held);
            async move {
                held.fetch_add(1, Ordering::Relaxed);
                Ok::<(), std::io::Error>(())
            }
        };
        let authorised = client().map_request(move |mut request: Request<_>| {
            let token = token.load(Ordering::Relaxed);
            request.headers_mut().insert("authorization", token.into());
            request
        });
        let layer = retry().http().on_unauthorized(fetch).build();
        let stack = layer.layer(authorised);

        for method in [Method::GET, Method::DELETE] {
            let mut request = get(&upstream.uri("/"));
            *request.method_mut() = method;
            let answer = stack.clone().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), StatusCode::OK);
        }

        assert_eq!(layer.handle().snapshot().retries, 1);
    })
    .await;
}
