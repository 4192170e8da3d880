use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Request;
use http_body::Body;
use pin_project::pin_project;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_service::Service;
use watertight_core::{
    BoxError, Call, FailureKind, Name, Outcome, Reason, Rejection, fail_on_panic,
};

use super::call::BodyCall;
use super::shared::Shared;
use super::upload::Progress;
use super::{BodyTimeoutConfig, RequestBodies, UploadBody};

/// Ends calls whose request bodies do not go out fast enough.
///
/// Made by [`RequestBodyTimeoutLayer`](crate::RequestBodyTimeoutLayer).
#[derive(Debug)]
pub struct RequestBodyTimeout<S> {
    inner: S,
    shared: Arc<Shared<RequestBodies>>,
}

impl<S> RequestBodyTimeout<S> {
    pub(super) const fn new(inner: S, shared: Arc<Shared<RequestBodies>>) -> Self {
        Self { inner, shared }
    }
}

impl BodyTimeoutConfig {
    /// Begins to watch a body.
    fn watch<B: Body>(&self, body: &B) -> Option<Arc<Progress>> {
        (self.has_limits() && !body.is_end_stream())
            .then(|| Arc::new(Progress::new(Instant::now())))
    }

    /// Returns when an upload is too slow if nothing moves until then. `None` once it has ended.
    fn limit(&self, progress: &Progress) -> Option<Instant> {
        let last = progress.last()?;
        let frame = self.frame.and_then(|frame| last.checked_add(frame));
        let whole = self.whole.and_then(|it| progress.began().checked_add(it));
        frame.into_iter().chain(whole).min()
    }
}

impl<S, B> Service<Request<B>> for RequestBodyTimeout<S>
where
    S: Service<Request<UploadBody<B>>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = RequestBodyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (mut call, config) = self.shared.begin().unzip();
        let config: BodyTimeoutConfig = config.unwrap_or_default();
        let progress = config.watch(request.body());
        let request = request.map(|body| UploadBody::new(body, progress.clone()));
        RequestBodyTimeoutFuture {
            inner: Some(fail_on_panic(&mut call, || self.inner.call(request))),
            config,
            call,
            progress,
            timer: None,
            name: self.shared.name(),
        }
    }
}

impl<S: Clone> Clone for RequestBodyTimeout<S> {
    fn clone(&self) -> Self {
        Self::new(self.inner.clone(), Arc::clone(&self.shared))
    }
}

/// The future of a call to [`RequestBodyTimeout`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RequestBodyTimeoutFuture<F> {
    /// `None` once it was too slow.
    #[pin]
    inner: Option<F>,
    config: BodyTimeoutConfig,
    /// `None` for a call that nobody looks at, and once it has ended.
    call: Option<BodyCall>,
    /// `None` where there is nothing to watch any more.
    progress: Option<Arc<Progress>>,
    #[pin]
    timer: Option<Sleep>,
    name: Name,
}

impl<F, Res, E> Future for RequestBodyTimeoutFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = this.inner.as_mut().as_pin_mut();
        let inner = inner.expect("a future that has completed is not polled again");
        if let Poll::Ready(result) = fail_on_panic(this.call, || inner.poll(cx)) {
            if let Some(call) = this.call.take() {
                call.end(match result {
                    Ok(_) => Outcome::Success,
                    Err(_) => Outcome::failure(FailureKind::Other),
                });
            }
            return Poll::Ready(result.map_err(Into::into));
        }
        let mut fired = false;
        loop {
            // Whoever takes frames does not wake this task: the timer looks after them.
            let progress = this.progress.as_ref();
            let Some(at) = progress.and_then(|progress| this.config.limit(progress)) else {
                return Poll::Pending;
            };
            if fired && at <= Instant::now() {
                if this.call.as_mut().is_some_and(BodyCall::is_too_slow) {
                    this.inner.set(None);
                    let error = Rejection::new(Reason::TimedOut, *this.name);
                    return Poll::Ready(Err(error.into()));
                }
                *this.progress = None;
                continue;
            }
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) if fired => timer.reset(at),
                Some(_) => {}
                None => this.timer.set(Some(sleep_until(at))),
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                // What was called may have used the cooperative budget of the task up.
                ready!(pin!(unconstrained(timer)).poll(cx));
            }
            fired = true;
        }
    }
}

impl<F> fmt::Debug for RequestBodyTimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBodyTimeoutFuture")
            .finish_non_exhaustive()
    }
}
