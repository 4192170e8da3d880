//! The contract of all layers. What the suite sends and the answers travel as bodies that never
//! end, and are as long as their numbers say.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tower::{Layer, layer::layer_fn};
use tower_service::Service;
use watertight_contract::{Contract, Probe, Request, Response};
use watertight_core::{BoxError, Mode};
use watertight_http::{
    BodyTimeoutBuilder, BodyTimeoutLayer, RequestBodies, RequestBodyTimeout, ResponseBodies,
    ResponseBodyTimeout, Side,
};
use watertight_metrics::Registry;

/// Longer than the suite waits for an answer.
const LONG: Duration = Duration::from_secs(7200);

#[derive(Debug)]
struct Number(u64);

impl Body for Number {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0)
    }
}

fn number(body: &impl Body) -> u64 {
    body.size_hint().exact().unwrap()
}

/// The inner service of the suite, over HTTP.
#[derive(Clone, Debug)]
struct Inside(Probe);

impl<B: Body> Service<http::Request<B>> for Inside {
    type Response = http::Response<Number>;
    type Error = BoxError;
    type Future = Mapped<<Probe as Service<Request>>::Future, Response, Self::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<B>) -> Self::Future {
        let id = number(request.body());
        Mapped {
            inner: self.0.call(Request { id }),
            map: |response| http::Response::new(Number(response.id)),
        }
    }
}

/// A service over HTTP, as the suite calls it.
#[derive(Clone, Debug)]
struct Outside<S>(S);

impl<S, B> Service<Request> for Outside<S>
where
    S: Service<http::Request<Number>, Response = http::Response<B>, Error = BoxError>,
    B: Body,
{
    type Response = Response;
    type Error = BoxError;
    type Future = Mapped<S::Future, http::Response<B>, Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Mapped {
            inner: self.0.call(http::Request::new(Number(request.id))),
            map: |response| Response {
                id: number(response.body()),
            },
        }
    }
}

#[pin_project]
struct Mapped<F, A, B> {
    #[pin]
    inner: F,
    map: fn(A) -> B,
}

impl<F, A, B> Future for Mapped<F, A, B>
where
    F: Future<Output = Result<A, BoxError>>,
{
    type Output = Result<B, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let answer = ready!(this.inner.poll(cx));
        Poll::Ready(answer.map(this.map))
    }
}

fn limited<D: Side>(
    set: impl FnOnce(BodyTimeoutBuilder<D>) -> BodyTimeoutBuilder<D>,
) -> BodyTimeoutLayer<D> {
    let builder = BodyTimeoutLayer::builder("contract").registry(&Registry::new());
    set(builder.frame(LONG).whole(LONG)).build()
}

fn read(layer: BodyTimeoutLayer<ResponseBodies>) -> impl Layer<Probe, Service = Read> + Shared {
    layer_fn(move |probe| Outside(layer.layer(Inside(probe))))
}

fn write(layer: BodyTimeoutLayer<RequestBodies>) -> impl Layer<Probe, Service = Write> + Shared {
    layer_fn(move |probe| Outside(layer.layer(Inside(probe))))
}

type Read = Outside<ResponseBodyTimeout<Inside>>;
type Write = Outside<RequestBodyTimeout<Inside>>;

trait Shared: Clone + Send + Sync + 'static {}

impl<T: Clone + Send + Sync + 'static> Shared for T {}

const NEVER: &str = "a body is too slow, or it is not: calls are not counted";

#[test]
fn what_limits_the_bodies_of_responses_keeps_the_contract() {
    for mode in [Mode::Enforce, Mode::Shadow, Mode::Off] {
        Contract::new(move || read(limited(|it| it.mode(mode))))
            .never_refuses(NEVER)
            .check();
    }
}

#[test]
fn what_limits_the_bodies_of_requests_keeps_the_contract() {
    for mode in [Mode::Enforce, Mode::Shadow] {
        Contract::new(move || write(limited(|it| it.mode(mode))))
            .never_refuses(NEVER)
            // How far the upload has come is shared by its body and its call.
            .allocations(1)
            .check();
    }
    Contract::new(|| write(limited(|it| it.mode(Mode::Off))))
        .never_refuses(NEVER)
        .check();
}
