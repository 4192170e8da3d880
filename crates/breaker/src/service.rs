use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{
    AtResponse, BoxError, Classify, ErrorsAreFailures, Finish, KeyBy, Rejection, Tracked, Unkeyed,
};

use crate::ResponseFuture;
use crate::call::{BreakerCall, Held};
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
    /// Whether this instance was said to be ready only to refuse: then the inner service was not
    /// asked, and must not be called, whatever has happened since.
    refuses: bool,
}

impl<S, C, N, K> Breaker<S, C, N, K> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>, classify: C, finish: N, key: K) -> Self {
        Self {
            inner,
            shared,
            classify,
            finish,
            key,
            refuses: false,
        }
    }

    /// Finds the circuit of `request` and asks it.
    fn admit<Req>(&mut self, request: &Req) -> Result<BreakerCall, Rejection>
    where
        K: KeyBy<Req>,
    {
        if std::mem::take(&mut self.refuses) {
            let retry_after = self.shared.circuit().refuse_as_told(Instant::now);
            return Err(self.shared.rejection(retry_after));
        }
        if let Some(key) = self.key.key(request) {
            let circuit = self.shared.circuit_of(key, || self.key.label(request));
            let permit = self.shared.admit(&circuit)?;
            return Ok(permit.map_or_else(BreakerCall::unwatched, |permit| {
                BreakerCall::new(Held::Key(circuit), permit)
            }));
        }
        let stripe = self.shared.stripes().mine();
        Ok(match self.shared.admit(stripe)? {
            Some(permit) => BreakerCall::new(Held::Stripe(Arc::clone(stripe)), permit),
            None => BreakerCall::unwatched(),
        })
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

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.refuses = !K::KEYED && self.shared.circuit().would_refuse(Instant::now);
        if self.refuses {
            return Poll::Ready(Ok(()));
        }
        ready!(self.inner.poll_ready(cx))
            .map_err(|error| {
                let error = error.into();
                if !K::KEYED {
                    self.shared.readiness_failed(&*error);
                }
                error
            })
            .into()
    }

    fn call(&mut self, request: Req) -> Self::Future {
        match self.admit(&request) {
            Err(rejection) => ResponseFuture::refused(rejection),
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
            refuses: false,
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
