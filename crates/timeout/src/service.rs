use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{BoxError, Classify, ErrorsAreFailures, KeyBy, Mode, Reason, Unkeyed};

use crate::call::TimeoutCall;
use crate::plan::{Plan, UNLIMITED, in_nanos};
use crate::shared::Shared;
use crate::wait::Wait;
use crate::way::{Held, Start};
use crate::{AsConfigured, ResponseFuture, TimeoutOf};

/// Ends calls that take too long.
///
/// Made by [`TimeoutLayer`](crate::TimeoutLayer).
pub struct Timeout<S, C = ErrorsAreFailures, T = AsConfigured, K = Unkeyed> {
    inner: S,
    shared: Arc<Shared>,
    classify: C,
    per_request: T,
    key: K,
    wait: Wait,
}

impl<S, C, T, K> Timeout<S, C, T, K> {
    pub(crate) const fn new(
        inner: S,
        shared: Arc<Shared>,
        classify: C,
        per_request: T,
        key: K,
    ) -> Self {
        Self {
            inner,
            shared,
            classify,
            per_request,
            key,
            wait: Wait::Unlimited,
        }
    }

    /// Waits on, as long as the inner service is not ready. Ready when that is for too long.
    #[cold]
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let config = self.shared.control().config();
        let Some(limit) = config.ready.filter(|_| config.mode != Mode::Off) else {
            return Poll::Pending;
        };
        ready!(self.wait.poll(limit, config.mode, cx));
        if self.wait.is_over() {
            return Poll::Ready(());
        }
        self.shared
            .control()
            .counts
            .refused(Reason::NotReady, Mode::Shadow);
        Poll::Pending
    }

    /// Begins the call of `request`, or makes the error that it gets.
    #[inline]
    fn begin<Req>(&self, request: &Req, plan: Plan) -> Result<TimeoutCall, BoxError>
    where
        T: TimeoutOf<Req>,
        K: KeyBy<Req>,
    {
        let way = self.way(request, plan);
        let start = match self.per_request.timeout_of(request) {
            None => way.start(plan),
            Some(Duration::ZERO) => {
                Start::taught(self.refuse(Reason::TimedOut, plan, UNLIMITED)?)
            }
            Some(limit) => Start::taught(in_nanos(limit)),
        };
        let deadline = watertight_core::Context::with(|context| context?.deadline);
        let deadline = match deadline {
            None => None,
            Some(deadline) => self.less_reserve(deadline, plan)?,
        };
        Ok(TimeoutCall::begin(way, plan, start, deadline))
    }

    #[inline]
    fn way<Req>(&self, request: &Req, plan: Plan) -> Held
    where
        K: KeyBy<Req>,
    {
        if K::KEYED
            && plan.is_learnt()
            && let Some(key) = self.key.key(request)
        {
            return self.shared.way_of(key, || self.key.label(request));
        }
        self.shared.way()
    }

    /// Returns when a call has to end that has this deadline. One that is late already is refused.
    fn less_reserve(&self, deadline: Instant, plan: Plan) -> Result<Option<Instant>, BoxError> {
        let now = Instant::now();
        let reserve = self.shared.control().config().reserve;
        match deadline.checked_sub(reserve).filter(|end| *end > now) {
            Some(end) => Ok(Some(end)),
            None => self.refuse(Reason::DeadlineExceeded, plan, None),
        }
    }

    /// Refuses a call, or lets it pass as `passed`.
    #[cold]
    fn refuse<R>(&self, reason: Reason, plan: Plan, passed: R) -> Result<R, BoxError> {
        match plan.mode() {
            Mode::Enforce => Err(self.shared.refuse(reason)),
            mode => {
                self.shared.control().counts.refused(reason, mode);
                Ok(passed)
            }
        }
    }
}

impl<S, C, T, K, Req> Service<Req> for Timeout<S, C, T, K>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    T: TimeoutOf<Req>,
    K: KeyBy<Req>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if self.wait.is_over() {
            return Poll::Ready(Ok(()));
        }
        match self.inner.poll_ready(cx) {
            Poll::Ready(ready) => {
                self.wait.end();
                Poll::Ready(ready.map_err(Into::into))
            }
            Poll::Pending => self.poll_wait(cx).map(Ok),
        }
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let plan = self.shared.plan();
        if self.wait.is_over() {
            self.wait = Wait::Unlimited;
            return ResponseFuture::refused(
                self.shared.refuse(Reason::NotReady),
                plan,
                self.classify.clone(),
            );
        }
        let mut call = match plan.mode() {
            Mode::Off => TimeoutCall::unwatched(plan),
            Mode::Enforce | Mode::Shadow => match self.begin(&request, plan) {
                Ok(call) => call,
                Err(refusal) => {
                    return ResponseFuture::refused(refusal, plan, self.classify.clone());
                }
            },
        };
        let inner = call.run(|| self.inner.call(request));
        ResponseFuture::called(inner, call, self.classify.clone())
    }
}

/// A clone has not waited yet.
impl<S: Clone, C: Clone, T: Clone, K: Clone> Clone for Timeout<S, C, T, K> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            classify: self.classify.clone(),
            per_request: self.per_request.clone(),
            key: self.key.clone(),
            wait: Wait::Unlimited,
        }
    }
}

impl<S: fmt::Debug, C, T, K> fmt::Debug for Timeout<S, C, T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}
