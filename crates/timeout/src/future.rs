use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::task::coop::{Unconstrained, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::{BoxError, Call, Classify, fail_on_panic, judge};

use crate::call::TimeoutCall;

/// The future of a call to [`Timeout`](crate::Timeout).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, C> {
    /// `None` for a call that was refused, and once its time is up.
    #[pin]
    inner: Option<F>,
    /// Made when the first poll brings no answer.
    #[pin]
    timer: Option<Unconstrained<Sleep>>,
    /// `None` for a call that nobody looks at, and once it has ended.
    call: Option<TimeoutCall>,
    refusal: Option<BoxError>,
    classify: C,
}

impl<F, C> ResponseFuture<F, C> {
    pub(crate) const fn refused(refusal: BoxError, classify: C) -> Self {
        Self {
            inner: None,
            timer: None,
            call: None,
            refusal: Some(refusal),
            classify,
        }
    }

    #[inline]
    pub(crate) const fn called(inner: F, call: Option<TimeoutCall>, classify: C) -> Self {
        Self {
            inner: Some(inner),
            timer: None,
            call,
            refusal: None,
            classify,
        }
    }

    /// Waits for the time to be up. `Pending` for a call that has no limit.
    ///
    /// The timer takes no part in tokio's cooperative budget: an inner future that uses it up at
    /// every poll would never be timed out.
    fn poll_timer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BoxError> {
        let mut this = self.project();
        let Some(call) = this.call else {
            return Poll::Pending;
        };
        if this.timer.is_none() {
            if !call.is_limited() {
                return Poll::Pending;
            }
            let Some(end) = call.last_moment(Instant::now()) else {
                return Poll::Pending;
            };
            this.timer.set(Some(unconstrained(sleep_until(end))));
        }
        if let Some(timer) = this.timer.as_mut().as_pin_mut() {
            ready!(timer.poll(cx));
        }
        this.timer.set(None);
        match call.expire() {
            None => Poll::Pending,
            Some(rejection) => {
                *this.call = None;
                this.inner.set(None);
                Poll::Ready(rejection.into())
            }
        }
    }
}

impl<F, C, Res, E> Future for ResponseFuture<F, C>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Res>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.as_mut().project();
        let Some(inner) = this.inner.as_pin_mut() else {
            let refusal = this.refusal.take();
            return Poll::Ready(Err(
                refusal.expect("a future is not polled once it has ended")
            ));
        };
        // A result that is ready together with the timer comes first.
        let Poll::Ready(result) = fail_on_panic(this.call, || inner.poll(cx)) else {
            return self.poll_timer(cx).map(Err);
        };
        let result = result.map_err(Into::into);
        if let Some(call) = this.call.take() {
            call.end(judge(
                this.classify,
                result.as_ref().map_err(|error| &**error),
            ));
        }
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
