//! Hedges over real sockets.

use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::HeaderMap;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tower::{Layer, ServiceExt};
use watertight_core::Budget;
use watertight_hedge::HedgeLayer;
use watertight_http::{HttpExt, ReplayBody};
use watertight_metrics::Registry;

use crate::server::{Server, bounded};
use crate::web;

type Replaying = Client<HttpConnector, ReplayBody<Full<Bytes>>>;

fn client() -> Replaying {
    Client::builder(TokioExecutor::new()).build_http()
}

/// What the upstream was sent: the body, and which attempt it was.
type Heard = Arc<Mutex<Vec<(Bytes, Option<String>)>>>;

/// An upstream that says back what it is sent, but for the first request: that hangs once it is read.
async fn upstream(heard: &Heard) -> Server {
    let heard = Arc::clone(heard);
    let answer = async move |headers: HeaderMap, body: Bytes| {
        let attempt = headers.get("x-retry-attempt");
        let attempt = attempt.map(|attempt| attempt.to_str().unwrap().to_owned());
        let is_first = {
            let mut heard = heard.lock().unwrap();
            heard.push((body.clone(), attempt));
            heard.len() == 1
        };
        if is_first {
            pending::<()>().await;
        }
        body
    };
    web::axum(Router::new().fallback(answer)).await
}

fn hedge() -> watertight_hedge::HedgeBuilder {
    HedgeLayer::builder("upstream")
        .after(Duration::from_millis(1))
        .budget(Budget::unlimited())
        .registry(&Registry::new())
}

#[tokio::test]
async fn a_hedge_has_the_whole_body_and_says_that_it_is_one() {
    bounded(async {
        let heard = Heard::default();
        let upstream = upstream(&heard).await;
        let layer = hedge().http().build();
        let body = Bytes::from(vec![b'x'; 60 * 1024]);
        let put = Request::put(upstream.uri("/"));
        let put = put.body(Full::new(body.clone())).unwrap();

        let answer = layer.layer(client()).oneshot(put).await.unwrap();

        assert_eq!(answer.status(), StatusCode::OK);
        let said = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(said == body);
        let heard = heard.lock().unwrap();
        let attempts: Vec<_> = heard.iter().map(|it| it.1.as_deref()).collect();
        assert_eq!(attempts, [None, Some("1")]);
        assert!(heard.iter().all(|it| it.0 == body));
        assert_eq!(layer.handle().in_flight(), 0);
    })
    .await;
}
