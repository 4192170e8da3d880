use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{
    BoxError, Classify, ErrorsAreFailures, Note, Repeat, RetriesExhausted, Signs, Undecided,
    Unnoted, fail_on_panic,
};

use crate::ResponseFuture;
use crate::call::{RetryCall, Start, Unmade};
use crate::letters::{Exhausted, Unwanted};
use crate::plan::{Plan, Tools};
use crate::shared::Shared;

/// Calls an inner service again when it fails.
///
/// Made by [`RetryLayer`](crate::RetryLayer).
pub struct Retry<S, C = ErrorsAreFailures, R = Undecided, T = Unnoted, X = Unwanted> {
    inner: S,
    shared: Arc<Shared>,
    tools: Tools<C, R, T, X>,
}

impl<S, C, R, T, X> Retry<S, C, R, T, X> {
    pub(crate) fn new(inner: S, shared: Arc<Shared>, tools: Tools<C, R, T, X>) -> Self {
        Self {
            inner,
            shared,
            tools,
        }
    }
}

impl<S, C, R, T, X, Req> Service<Req> for Retry<S, C, R, T, X>
where
    S: Service<R::Request> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    R: Repeat<Req> + Clone,
    T: Note<S::Response, RetriesExhausted> + Signs<S::Response> + Clone,
    X: Exhausted<R::Request, S::Response> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S, S::Future, S::Response, Req, R::Request, R::Kept, C, R, T, X>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let way = self.shared.stripes().mine();
        let flags = way.0.0.flags();
        let repeat = &self.tools.repeat;

        let start = (!flags.is_off()).then(|| Start::new(way, flags));
        let is_kept = start
            .as_ref()
            .is_some_and(|start| flags.keeps(X::WANTED, start.course.is_second_hand()));
        let (request, kept) = if is_kept {
            repeat.keep(request)
        } else {
            (repeat.once(request), None)
        };
        // A clone of its own is driven to readiness for each further attempt.
        let service = kept.is_some().then(|| self.inner.clone());
        let attempt = fail_on_panic(&mut start.is_some().then_some(Unmade(way)), || {
            self.inner.call(request)
        });
        // What has been made cannot be where it will stay before the attempt is there.
        let call = start.map(|start| RetryCall::begin(way, start));
        let plan = Plan::new(call, kept.zip(service), self.tools.clone());
        ResponseFuture::new(attempt, plan)
    }
}

impl<S: Clone, C: Clone, R: Clone, T: Clone, X: Clone> Clone for Retry<S, C, R, T, X> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            tools: self.tools.clone(),
        }
    }
}

impl<S: fmt::Debug, C, R, T, X> fmt::Debug for Retry<S, C, R, T, X> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Retry")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
