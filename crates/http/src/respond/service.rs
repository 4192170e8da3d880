use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_service::Service;
use watertight_core::BoxError;

use super::answer::Style;
use super::body::AnswerBody;
use super::covers::{AllErrors, Covers};
use super::future::{Reply, ResponseFuture};
use crate::protocol::Protocol;

/// Answers in place of errors. Made by [`RespondLayer`](super::RespondLayer).
///
/// An error of the inner `poll_ready` is kept until the next call, which is where there is a request
/// to answer.
pub struct Respond<S, T = AllErrors> {
    inner: S,
    style: Style,
    /// Why the inner service was not ready: the answer to the next call.
    failed: Option<BoxError>,
    covers: T,
}

impl<S, T> Respond<S, T> {
    pub(super) fn new(inner: S, style: Style, covers: T) -> Self {
        Self {
            inner,
            style,
            failed: None,
            covers,
        }
    }
}

impl<S, T, B, R> Service<Request<B>> for Respond<S, T>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    R: Body<Data = Bytes>,
    T: Covers,
{
    type Response = Response<AnswerBody<R>>;
    type Error = T::Error;
    type Future = ResponseFuture<S::Future, T>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), T::Error>> {
        if self.failed.is_some() {
            return Poll::Ready(Ok(()));
        }
        self.inner.poll_ready(cx).map(|ready| {
            if let Err(error) = ready {
                self.failed = Some(self.covers.cover(error.into())?);
            }
            Ok(())
        })
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let reply = Reply {
            protocol: Protocol::of(request.headers()),
            style: self.style,
            covers: self.covers,
        };
        match self.failed.take() {
            Some(error) => ResponseFuture::failed(error, reply),
            None => ResponseFuture::called(self.inner.call(request), reply),
        }
    }
}

/// The clone has asked nobody yet whether it is ready.
impl<S: Clone, T: Copy> Clone for Respond<S, T> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), self.style, self.covers)
    }
}

impl<S: fmt::Debug, T> fmt::Debug for Respond<S, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
