use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Response;
use http_body::Body;
use pin_project::pin_project;
use tokio::time::Instant;
use tower_layer::Layer;
use tower_service::Service;
use watertight_core::{Name, Reason};

use super::TimedBody;
use super::body::Limits;
use crate::protocol::Protocol;

/// Cuts off response bodies that take too long: from one frame to the next, or as a whole.
///
/// A timeout of a call ends with the head of its response; from there on it is this one's. What is
/// cut off is dropped at once, and its reader gets an error: a
/// [`Rejection`](watertight_core::Rejection) for [`TimedOut`](Reason::TimedOut), which a layer
/// above counts as a failure that ends its calls with [`AtBodyEnd`](crate::AtBodyEnd).
///
/// ```
/// use std::time::Duration;
/// use watertight_http::ResponseBodyTimeoutLayer;
///
/// let read = ResponseBodyTimeoutLayer::new("payments")
///     .frame(Duration::from_secs(30))
///     .whole(Duration::from_secs(300));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ResponseBodyTimeoutLayer {
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    name: Name,
    frame: Option<Duration>,
    whole: Option<Duration>,
}

impl ResponseBodyTimeoutLayer {
    /// Creates the layer, which cuts nothing off yet.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            settings: Settings {
                name: name.into(),
                frame: None,
                whole: None,
            },
        }
    }

    /// Sets how long the next frame of a body may take, while somebody waits for it. Default: any
    /// time.
    ///
    /// # Panics
    ///
    /// If `time` is zero.
    #[must_use]
    #[track_caller]
    pub fn frame(mut self, time: Duration) -> Self {
        self.settings.frame = Some(super::checked("frame", time));
        self
    }

    /// Sets how long a body may take from the head to its end. Default: any time.
    ///
    /// # Panics
    ///
    /// If `time` is zero.
    #[must_use]
    #[track_caller]
    pub fn whole(mut self, time: Duration) -> Self {
        self.settings.whole = Some(super::checked("whole", time));
        self
    }
}

impl<S> Layer<S> for ResponseBodyTimeoutLayer {
    type Service = ResponseBodyTimeout<S>;

    fn layer(&self, inner: S) -> ResponseBodyTimeout<S> {
        ResponseBodyTimeout {
            inner,
            settings: self.settings,
        }
    }
}

/// Cuts off response bodies that take too long. Made by [`ResponseBodyTimeoutLayer`].
#[derive(Clone, Copy, Debug)]
pub struct ResponseBodyTimeout<S> {
    inner: S,
    settings: Settings,
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
        ResponseBodyTimeoutFuture {
            inner: self.inner.call(request),
            settings: self.settings,
        }
    }
}

/// The future of a call to [`ResponseBodyTimeout`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseBodyTimeoutFuture<F> {
    #[pin]
    inner: F,
    settings: Settings,
}

impl<F, B, E> Future for ResponseBodyTimeoutFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
{
    type Output = Result<Response<TimedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let Settings { name, frame, whole } = *this.settings;
        let end = whole.and_then(|whole| Instant::now().checked_add(whole));
        let limits = (frame.is_some() || end.is_some()).then(|| Limits {
            frame,
            end: end.map(|end| (end, Reason::TimedOut)),
            name,
            has_trailers: Protocol::of(response.headers()).has_trailers(),
        });
        Poll::Ready(Ok(response.map(|body| TimedBody::new(body, limits))))
    }
}

impl<F> fmt::Debug for ResponseBodyTimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBodyTimeoutFuture")
            .finish_non_exhaustive()
    }
}
