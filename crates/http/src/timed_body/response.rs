use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project::pin_project;
use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{Call, FailureKind, Name, Outcome, Reason, fail_on_panic};

use super::body::Limits;
use super::call::BodyCall;
use super::shared::Shared;
use super::{BodyTimeoutConfig, ResponseBodies, TimedBody};
use crate::protocol::Protocol;

/// Cuts off response bodies that take too long.
///
/// Made by [`ResponseBodyTimeoutLayer`](crate::ResponseBodyTimeoutLayer).
#[derive(Debug)]
pub struct ResponseBodyTimeout<S> {
    inner: S,
    shared: Arc<Shared<ResponseBodies>>,
}

impl<S> ResponseBodyTimeout<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<ResponseBodies>>) -> Self {
        Self { inner, shared }
    }
}

impl<S, Req, B> Service<Req> for ResponseBodyTimeout<S>
where
    S: Service<Req, Response = Response<B>>,
    B: Body,
{
    type Response = Response<TimedBody<B>>;
    type Error = S::Error;
    type Future = ResponseBodyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (mut call, config) = self.shared.begin().unzip();
        ResponseBodyTimeoutFuture {
            inner: fail_on_panic(&mut call, || self.inner.call(request)),
            config: config.unwrap_or_default(),
            call,
            name: self.shared.name(),
        }
    }
}

impl<S: Clone> Clone for ResponseBodyTimeout<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

/// The future of a call to [`ResponseBodyTimeout`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseBodyTimeoutFuture<F> {
    #[pin]
    inner: F,
    config: BodyTimeoutConfig,
    /// `None` for a call that nobody looks at, and once it is the body's.
    call: Option<BodyCall>,
    name: Name,
}

impl<F, B, E> Future for ResponseBodyTimeoutFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<TimedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(fail_on_panic(this.call, || this.inner.poll(cx)));
        let call = this.call.take();
        Poll::Ready(match result {
            Ok(response) => Ok(limited(response, *this.config, *this.name, call)),
            Err(error) => {
                if let Some(call) = call {
                    call.end(Outcome::failure(FailureKind::Other));
                }
                Err(error)
            }
        })
    }
}

fn limited<B: Body>(
    response: Response<B>,
    config: BodyTimeoutConfig,
    name: Name,
    call: Option<BodyCall>,
) -> Response<TimedBody<B>> {
    let whole = config.whole;
    let end = whole.and_then(|whole| Instant::now().checked_add(whole));
    let limits = (config.frame.is_some() || end.is_some()).then(|| Limits {
        frame: config.frame,
        end: end.map(|end| (end, Reason::TimedOut)),
        name,
        has_trailers: Protocol::of(response.headers()).has_trailers(),
    });
    response.map(|body| TimedBody::new(body, limits).of(call))
}

impl<F> fmt::Debug for ResponseBodyTimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBodyTimeoutFuture")
            .finish_non_exhaustive()
    }
}
