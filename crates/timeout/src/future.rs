use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::task::coop::{has_budget_remaining, unconstrained};
use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::{BoxError, Classify, judge};

use crate::call::TimeoutCall;
use crate::plan::Plan;

/// The future of a call to [`Timeout`](crate::Timeout).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, C> {
    /// `None` for a call that was refused, and once its time is up.
    #[pin]
    inner: Option<F>,
    /// Made when the first poll brings no answer.
    #[pin]
    timer: Option<Sleep>,
    call: TimeoutCall,
    refusal: Option<BoxError>,
    classify: C,
}

impl<F, C> ResponseFuture<F, C> {
    pub(crate) const fn refused(refusal: BoxError, plan: Plan, classify: C) -> Self {
        Self {
            inner: None,
            timer: None,
            call: TimeoutCall::unwatched(plan),
            refusal: Some(refusal),
            classify,
        }
    }

    #[inline]
    pub(crate) const fn called(inner: F, call: TimeoutCall, classify: C) -> Self {
        Self {
            inner: Some(inner),
            timer: None,
            call,
            refusal: None,
            classify,
        }
    }

    /// Waits for the time to be up. `Pending` for a call that has no limit.
    #[inline]
    fn poll_timer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<BoxError> {
        let mut this = self.project();
        loop {
            if this.timer.is_none() {
                if !this.call.is_watched() || !this.call.is_limited() {
                    return Poll::Pending;
                }
                let Some(end) = this.call.last_moment(Instant::now()) else {
                    return Poll::Pending;
                };
                this.timer.set(Some(sleep_until(end)));
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                ready!(poll_whatever_the_budget(timer, cx));
            }
            this.timer.set(None);
            if let Some(rejection) = this.call.expire() {
                this.inner.set(None);
                return Poll::Ready(rejection.into());
            }
        }
    }
}

/// Polls a timer, where the task has used its cooperative budget up as well: an inner future that
/// does so at every poll would never be timed out.
#[inline]
fn poll_whatever_the_budget(timer: Pin<&mut Sleep>, cx: &mut Context<'_>) -> Poll<()> {
    if has_budget_remaining() {
        timer.poll(cx)
    } else {
        pin!(unconstrained(timer)).poll(cx)
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
        let Poll::Ready(result) = this.call.run(|| inner.poll(cx)) else {
            return self.poll_timer(cx).map(Err);
        };
        let result = result.map_err(Into::into);
        if this.call.is_watched() {
            let outcome = judge(this.classify, result.as_ref().map_err(|error| &**error));
            this.call.end(&outcome);
        }
        Poll::Ready(result)
    }
}

impl<F, C> fmt::Debug for ResponseFuture<F, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
