//! Calls that last until the body of their response ends.

use std::future::ready;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt, Full};
use tokio::time::advance;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_breaker::{Breaker, BreakerBuilder, BreakerHandle, BreakerLayer, State};
use watertight_http::{AtBodyEnd, GrpcClassifier, HttpClassifier, HttpExt};
use watertight_metrics::Registry;

use crate::stage::SECOND;

fn builder() -> BreakerBuilder {
    BreakerLayer::builder("payments").registry(&Registry::new())
}

type Http = BreakerLayer<HttpClassifier, AtBodyEnd>;
type Grpc = BreakerLayer<GrpcClassifier, AtBodyEnd>;

fn http(settings: impl FnOnce(BreakerBuilder) -> BreakerBuilder) -> Http {
    settings(builder()).http().finish(AtBodyEnd).build()
}

fn grpc(settings: impl FnOnce(BreakerBuilder) -> BreakerBuilder) -> Grpc {
    settings(builder()).grpc().build()
}

/// A message, and then trailers with a status.
struct Answer {
    status: &'static str,
    frames: u32,
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.frames += 1;
        Poll::Ready(match self.frames {
            1 => Some(Ok(Frame::data(Bytes::from_static(b"\0\0\0\0\0")))),
            2 => {
                let mut trailers = HeaderMap::new();
                trailers.insert("grpc-status", HeaderValue::from_static(self.status));
                Some(Ok(Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

async fn ask<S, B>(service: &mut S) -> B
where
    S: Service<Request<()>, Response = Response<B>, Error = BoxError>,
{
    let service = service.ready().await.unwrap();
    service.call(Request::new(())).await.unwrap().into_body()
}

async fn half_open(breaker: &BreakerHandle) {
    breaker.open_for(SECOND);
    advance(SECOND).await;
}

fn answers(
    status: u16,
) -> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error = BoxError, Future: Send> + Clone
{
    service_fn(move |_: Request<()>| {
        let response = Response::builder().status(status);
        ready(Ok(response.body(Full::from("some bytes")).unwrap()))
    })
}

fn speaks(
    status: &'static str,
) -> impl Service<Request<()>, Response = Response<Answer>, Error = BoxError> + Clone {
    service_fn(move |_: Request<()>| ready(Ok(Response::new(Answer { status, frames: 0 }))))
}

#[tokio::test(start_paused = true)]
async fn a_breaker_closes_again_by_statuses_in_trailers() {
    let layer = grpc(|it| it.half_open_calls(1).close_after(2));
    let breaker = layer.handle();
    let mut service: Breaker<_, _, _> = layer.layer(speaks("0"));
    half_open(&breaker).await;

    ask(&mut service).await.collect().await.unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);
    ask(&mut service).await.collect().await.unwrap();

    assert_eq!(breaker.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_waits_for_its_trailers_holds_its_place() {
    let layer = grpc(|it| it.half_open_calls(1));
    let breaker = layer.handle();
    let mut service = layer.layer(speaks("14"));
    half_open(&breaker).await;

    let body = ask(&mut service).await;
    assert_eq!(breaker.snapshot().probes_in_flight, 1);
    body.collect().await.unwrap();

    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_counts_once() {
    let layer = http(|it| it.close_after(2).half_open_failure_rate(0.9));
    let breaker = layer.handle();
    let mut service = layer.layer(answers(500));
    half_open(&breaker).await;

    let body = ask(&mut service).await;
    assert_eq!(breaker.state(), State::HalfOpen);
    body.collect().await.unwrap();
    assert_eq!(breaker.state(), State::HalfOpen);

    drop(ask(&mut service).await);
    assert_eq!(breaker.state(), State::Open);
}

#[tokio::test(start_paused = true)]
async fn failures_count_though_nobody_reads_their_bodies() {
    let layer = http(|it| it.consecutive_failures(3));
    let breaker = layer.handle();
    let mut service = layer.layer(answers(503));

    let unread = [
        ask(&mut service).await,
        ask(&mut service).await,
        ask(&mut service).await,
    ];

    assert_eq!(breaker.state(), State::Open);
    assert_eq!(breaker.in_flight(), 3);
    drop(unread);
    assert_eq!(breaker.in_flight(), 0);
    assert_eq!(breaker.snapshot().standing.calls, 3);
}
