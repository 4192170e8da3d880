use std::fmt;
use std::mem;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{AtResponse, BoxError, Classify, ErrorsAreFailures, Finish, Tracked};

use super::call::IsolateCall;
use super::future::IsolateFuture;
use super::job::Work;
use super::run::Run;
use super::shared::{Admission, Shared};
use super::waiting::{Waiting, send};

/// Runs the calls to an inner service apart from those of everybody else.
///
/// Made by [`IsolateLayer`](crate::IsolateLayer).
pub struct Isolate<S, C = ErrorsAreFailures, N = AtResponse> {
    inner: S,
    shared: Arc<Shared>,
    classify: C,
    finish: N,
}

impl<S, C, N> Isolate<S, C, N> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>, classify: C, finish: N) -> Self {
        Self {
            inner,
            shared,
            classify,
            finish,
        }
    }
}

impl<S, C, N, Req> Service<Req> for Isolate<S, C, N>
where
    S: Service<Req> + Clone + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
{
    type Response = N::Response<IsolateCall>;
    type Error = BoxError;
    type Future = IsolateFuture<S, S::Future, S::Response, C, N, Req>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let (classify, finish) = (self.classify.clone(), self.finish.clone());
        match self.shared.admit() {
            Admission::Admitted(permit) => {
                // Only the instance that was polled ready may be called. It leaves with the call.
                let clone = self.inner.clone();
                let ready = mem::replace(&mut self.inner, clone);
                let work = Work::of_ready(ready, request);
                IsolateFuture::called(send(permit, work, classify, finish))
            }
            Admission::Waits(turn) => {
                let work = Work::of_clone(self.inner.clone(), request);
                IsolateFuture::waiting(Waiting::new(turn, work, classify, finish))
            }
            Admission::Passes => {
                let start = || Run::Here(self.inner.call(request));
                let call = IsolateCall::unwatched();
                IsolateFuture::called(Tracked::new(call, classify, finish, start))
            }
            Admission::Refused(refusal) => IsolateFuture::refused(refusal),
        }
    }
}

impl<S: Clone, C: Clone, N: Clone> Clone for Isolate<S, C, N> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            classify: self.classify.clone(),
            finish: self.finish.clone(),
        }
    }
}

impl<S: fmt::Debug, C, N> fmt::Debug for Isolate<S, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolate")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
