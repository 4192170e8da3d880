use std::convert::Infallible;
use std::fmt;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish, KeyBy, Note, QuotaStatus};

use crate::call::RateLimitCall;
use crate::front::Front;
use crate::{Demand, Penalty, ResponseFuture, Rules};

/// Bounds how much comes to an inner service in a time.
///
/// Made by a [`TokenBucketLayer`](crate::TokenBucketLayer) or a
/// [`SlidingWindowLayer`](crate::SlidingWindowLayer).
#[derive(Clone)]
pub struct RateLimit<S, R = Rules> {
    inner: S,
    front: Front<R>,
}

impl<S, R> RateLimit<S, R> {
    pub(crate) const fn new(inner: S, front: Front<R>) -> Self {
        Self { inner, front }
    }
}

impl<S, C, N, K, D, P, T, Req> Service<Req> for RateLimit<S, Rules<C, N, K, D, P, T>>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    K: KeyBy<Req>,
    D: Demand<Req>,
    P: Penalty + Clone,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    type Response = N::Response<RateLimitCall<P>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C, N, P, T>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    /// What the machines of these layers let pass has no turn to wait for.
    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let no_wait = |_: &_, _, _, _| None::<Infallible>;
        match self.front.admit(&request, T::HEARD, no_wait) {
            Ok(passed) => {
                let start = || self.inner.call(request);
                let called = self.front.make(passed.call, passed.quota, start);
                ResponseFuture::called(called)
            }
            Err(refusal) => ResponseFuture::refused(refusal),
        }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RateLimit<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("shared", &self.front.shared)
            .finish_non_exhaustive()
    }
}
