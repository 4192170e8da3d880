use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{
    AtResponse, BoxError, Classify, ErrorsAreFailures, Finish, KeyBy, Mode, Tracked, Unkeyed,
};

use crate::ResponseFuture;
use crate::admit::Refusal;
use crate::call::BreakerCall;
use crate::shared::Shared;

/// Stops calling an inner service that fails.
///
/// Made by [`BreakerLayer`](crate::BreakerLayer).
pub struct Breaker<S, C = ErrorsAreFailures, N = AtResponse, K = Unkeyed> {
    inner: S,
    shared: Arc<Shared>,
    classify: C,
    finish: N,
    key: K,
    /// What this instance will tell its next call, if it was said to be ready only to refuse: then
    /// the inner service was not asked, and must not be called, whatever has happened since. The
    /// time that it names is from then: to look at the clock again would double the cost.
    promised: Option<Refusal>,
}

impl<S, C, N, K> Breaker<S, C, N, K> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>, classify: C, finish: N, key: K) -> Self {
        Self {
            inner,
            shared,
            classify,
            finish,
            key,
            promised: None,
        }
    }

    /// Finds the circuit of `request` and asks it.
    #[inline]
    fn admit<Req>(&mut self, request: &Req) -> Result<BreakerCall, BoxError>
    where
        K: KeyBy<Req>,
    {
        if let Some(refusal) = self.promised.take() {
            return Err(self.shared.refuse(self.shared.circuit(), refusal));
        }
        if K::KEYED && self.shared.circuit().word().mode() == Mode::Off {
            return Ok(BreakerCall::unwatched());
        }
        match self.key.key(request) {
            None => {
                let way = self.shared.stripes().mine();
                let permit = self.shared.admit(way)?;
                Ok(BreakerCall::new(permit, || Arc::clone(way)))
            }
            Some(key) => {
                let way = self.shared.way_of(key, || self.key.label(request));
                let permit = self.shared.admit(&way)?;
                Ok(BreakerCall::new(permit, || way))
            }
        }
    }
}

impl<S, C, N, K, Req> Service<Req> for Breaker<S, C, N, K>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    K: KeyBy<Req>,
{
    type Response = N::Response<BreakerCall>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C, N>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if !K::KEYED {
            self.promised = self.shared.circuit().foresee(Instant::now);
            if self.promised.is_some() {
                return Poll::Ready(Ok(()));
            }
        }
        self.inner.poll_ready(cx).map_err(|error| {
            let error = error.into();
            if !K::KEYED {
                self.shared.readiness_failed(&*error);
            }
            error
        })
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        match self.admit(&request) {
            Err(refusal) => ResponseFuture::refused(refusal),
            Ok(call) => ResponseFuture::called(Tracked::new(
                call,
                self.classify.clone(),
                self.finish.clone(),
                || self.inner.call(request),
            )),
        }
    }
}

impl<S: Clone, C: Clone, N: Clone, K: Clone> Clone for Breaker<S, C, N, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            classify: self.classify.clone(),
            finish: self.finish.clone(),
            key: self.key.clone(),
            promised: None,
        }
    }
}

impl<S: fmt::Debug, C, N, K> fmt::Debug for Breaker<S, C, N, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
