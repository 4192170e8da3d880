//! Calls that last until the body of their response ends.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_bulkhead::{BulkheadBuilder, BulkheadLayer};
use watertight_core::{Reason, Rejection};
use watertight_http::{AtBodyEnd, HttpExt};
use watertight_metrics::Registry;

/// A message, and then trailers with a status.
struct Answer {
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
                trailers.insert("grpc-status", HeaderValue::from_static("14"));
                Some(Ok(Frame::trailers(trailers)))
            }
            _ => None,
        })
    }
}

fn builder(registry: &Registry) -> BulkheadBuilder {
    BulkheadLayer::builder("payments", 1).registry(registry)
}

fn answer(_: Request<()>) -> Ready<Result<Response<Answer>, BoxError>> {
    ready(Ok(Response::new(Answer { frames: 0 })))
}

async fn ask<S, B>(service: &mut S) -> Result<B, BoxError>
where
    S: Service<Request<()>, Response = Response<B>, Error = BoxError>,
{
    let response = service.ready().await?.call(Request::new(())).await?;
    Ok(response.into_body())
}

#[tokio::test(start_paused = true)]
async fn a_call_over_http_is_over_at_the_head() {
    let layer = builder(&Registry::new()).http().build();
    let mut service = layer.layer(service_fn(answer));

    let _body = ask(&mut service).await.unwrap();

    assert_eq!(layer.handle().in_flight(), 0);
    ask(&mut service).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_body_holds_the_slot_until_it_ends() {
    let layer = builder(&Registry::new()).http().finish(AtBodyEnd).build();
    let mut service = layer.layer(service_fn(answer));
    let body = ask(&mut service).await.unwrap();

    assert_eq!(layer.handle().in_flight(), 1);
    let error = ask(&mut service).await.err().unwrap();
    assert_eq!(
        Rejection::find(&*error).unwrap().reason(),
        Reason::BulkheadFull
    );

    body.collect().await.unwrap();
    assert_eq!(layer.handle().in_flight(), 0);
    let body = ask(&mut service).await.unwrap();
    drop(body);
    assert_eq!(layer.handle().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn over_grpc_the_trailers_say_how_the_call_ended() {
    let registry = Registry::new();
    let layer = builder(&registry).grpc().build();
    let mut service = layer.layer(service_fn(answer));

    let body = ask(&mut service).await.unwrap();
    body.collect().await.unwrap();

    assert_eq!(registry.snapshot().instances[0].calls.failure, 1);
    assert_eq!(layer.handle().in_flight(), 0);
}
