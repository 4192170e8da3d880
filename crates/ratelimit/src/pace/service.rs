use std::fmt;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish, KeyBy, Note, QuotaStatus};

use super::booking::Booking;
use super::future::PacedFuture;
use super::waiting::Waiting;
use crate::call::RateLimitCall;
use crate::front::Front;
use crate::limits::Limits;
use crate::{Demand, Penalty, Rules};

/// Lets calls to an inner service start at an even pace.
///
/// Made by a [`LeakyBucketLayer`](crate::LeakyBucketLayer).
#[derive(Clone)]
pub struct Pace<S, R = Rules> {
    inner: S,
    front: Front<R>,
}

impl<S, R> Pace<S, R> {
    pub(crate) const fn new(inner: S, front: Front<R>) -> Self {
        Self { inner, front }
    }
}

impl<S, C, N, K, D, P, T, Req> Service<Req> for Pace<S, Rules<C, N, K, D, P, T>>
where
    S: Service<Req> + Clone,
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
    type Future = PacedFuture<S, S::Future, C, N, P, T, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let passed = match self.front.admit(&request, T::HEARD, Limits::place) {
            Ok(passed) => passed,
            Err(refusal) => return PacedFuture::refused(refusal),
        };
        if let Some(place) = passed.wait {
            let booking = Booking::new(passed.call, place);
            let of_answers = self.front.of_answers(passed.quota);
            let inner = self.inner.clone();
            return PacedFuture::waiting(Waiting::new(booking, inner, request, of_answers));
        }
        let start = || self.inner.call(request);
        PacedFuture::called(self.front.make(passed.call, passed.quota, start))
    }
}

impl<S: fmt::Debug, R> fmt::Debug for Pace<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pace")
            .field("inner", &self.inner)
            .field("shared", &self.front.shared)
            .finish_non_exhaustive()
    }
}
