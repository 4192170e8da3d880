use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use governor::clock::QuantaInstant;
use governor::middleware::NoOpMiddleware;
use http::{Request, Response, StatusCode};
use pin_project::pin_project;
use tower::layer::util::Identity;
use tower::{Layer, Service};
use tower_governor::GovernorLayer;
use tower_governor::governor::GovernorConfigBuilder;
use tower_governor::key_extractor::GlobalKeyExtractor;

/// Speaks HTTP to the layer within, and what is not 200 is an error: for layers that know nothing
/// else.
#[derive(Clone, Debug)]
pub(crate) struct OverHttp<L>(pub(crate) L);

/// `tower_governor`, whose limit is `governor`'s.
type Governor = GovernorLayer<GlobalKeyExtractor, NoOpMiddleware<QuantaInstant>, Body>;

/// Makes HTTP without a layer.
pub(crate) fn bare_http() -> OverHttp<Identity> {
    OverHttp(Identity::new())
}

pub(crate) fn tower_governor_ample() -> OverHttp<Governor> {
    tower_governor(Duration::from_nanos(1), u32::MAX)
}

/// Makes a limit that has nothing left after its first call.
pub(crate) fn tower_governor_dry() -> OverHttp<Governor> {
    let layer = tower_governor(Duration::from_secs(86_400), 1);
    let mut service = layer.0.layer(ToHttp(crate::Echo::<false>));
    drop(service.call(Request::new(0)));
    layer
}

fn tower_governor(period: Duration, burst: u32) -> OverHttp<Governor> {
    let mut builder = GovernorConfigBuilder::default().key_extractor(GlobalKeyExtractor);
    let config = builder.period(period).burst_size(burst).finish();
    OverHttp(GovernorLayer::new(config.expect("neither is zero")))
}

impl<S, L: Layer<ToHttp<S>>> Layer<S> for OverHttp<L> {
    type Service = FromHttp<L::Service>;

    fn layer(&self, inner: S) -> Self::Service {
        FromHttp(self.0.layer(ToHttp(inner)))
    }
}

/// The server's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToHttp<S>(S);

impl<S> Service<Request<u64>> for ToHttp<S>
where
    S: Service<u64, Error = Infallible>,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = ToHttpFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Request<u64>) -> Self::Future {
        ToHttpFuture(self.0.call(request.into_body()))
    }
}

#[pin_project]
pub(crate) struct ToHttpFuture<F>(#[pin] F);

impl<F: Future<Output = Result<T, E>>, T, E> Future for ToHttpFuture<F> {
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.project().0.poll(cx));
        Poll::Ready(answer.map(|_| Response::new(Body::empty())))
    }
}

/// The client's end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FromHttp<S>(S);

impl<S, B> Service<u64> for FromHttp<S>
where
    S: Service<Request<u64>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = Option<Response<B>>;
    type Future = FromHttpFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(cx).map_err(|_| None)
    }

    fn call(&mut self, request: u64) -> Self::Future {
        FromHttpFuture(self.0.call(Request::new(request)))
    }
}

#[pin_project]
pub(crate) struct FromHttpFuture<F>(#[pin] F);

impl<F, B, E> Future for FromHttpFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, Option<Response<B>>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = ready!(self.project().0.poll(cx));
        Poll::Ready(match answer {
            Ok(response) if response.status() == StatusCode::OK => Ok(response),
            Ok(response) => Err(Some(response)),
            Err(_) => Err(None),
        })
    }
}
