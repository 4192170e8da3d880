use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;
use watertight_core::{
    BoxError, Classify, Note, Repeat, RetriesExhausted, Scoped, Signs, fail_on_panic,
};

use crate::letters::Exhausted;
use crate::plan::{Next, Plan};
use crate::refresh::Refreshing;

/// The future of a call to [`Retry`](crate::Retry).
#[pin_project(project = Projection)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, Req, C, R, T, X>
where
    S: Service<R::Request>,
    R: Repeat<Req>,
{
    #[pin]
    step: Step<S::Future>,
    /// Runs while an attempt has only so long, and between attempts.
    #[pin]
    timer: Option<Sleep>,
    plan: Plan<S, Req, C, R, T, X>,
}

#[pin_project(project = StepProjection)]
enum Step<F> {
    /// An attempt is in flight.
    Attempt(#[pin] Scoped<F>),
    /// The timer runs before the next one.
    Wait,
    /// Credentials are fetched before the next one.
    Refresh(Refreshing),
    /// The service is to become ready for the next one.
    Ready,
}

impl<S, Req, C, R, T, X> ResponseFuture<S, Req, C, R, T, X>
where
    S: Service<R::Request>,
    R: Repeat<Req>,
{
    pub(crate) fn new(attempt: S::Future, plan: Plan<S, Req, C, R, T, X>) -> Self {
        Self {
            step: Step::Attempt(Scoped::unscoped(attempt)),
            timer: None,
            plan,
        }
    }
}

impl<S, Req, C, R, T, X> Future for ResponseFuture<S, Req, C, R, T, X>
where
    S: Service<R::Request>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response>,
    R: Repeat<Req>,
    T: Note<S::Response, RetriesExhausted> + Signs<S::Response>,
    X: Exhausted<R::Request, S::Response>,
{
    type Output = Result<S::Response, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let next = match this.step.as_mut().project() {
                StepProjection::Attempt(attempt) => {
                    let polled = RetriesExhausted::watch(|| {
                        fail_on_panic(&mut this.plan.call, || attempt.poll(cx))
                    });
                    let result = match polled {
                        Poll::Ready(result) => result.map_err(Into::into),
                        Poll::Pending => {
                            ready!(poll_limit(this.timer.as_mut(), this.plan.limit(), cx));
                            Err(this.plan.timed_out())
                        }
                    };
                    // What has failed goes before anything new begins.
                    this.step.set(Step::Ready);
                    this.timer.set(None);
                    match this.plan.settle(result) {
                        Next::Return(answer) => return Poll::Ready(answer),
                        Next::Refresh(refreshing) => Step::Refresh(refreshing),
                        Next::Wait(Duration::ZERO) => Step::Ready,
                        Next::Wait(delay) => {
                            this.timer.set(Some(sleep(delay)));
                            Step::Wait
                        }
                    }
                }
                StepProjection::Wait => {
                    ready!(poll_timer(this.timer.as_mut(), cx));
                    this.timer.set(None);
                    Step::Ready
                }
                StepProjection::Refresh(refreshing) => {
                    let refreshed =
                        fail_on_panic(&mut this.plan.call, || refreshing.as_mut().poll(cx));
                    if !ready!(refreshed)
                        && let Some(answer) = this.plan.withdraw(None)
                    {
                        return Poll::Ready(answer);
                    }
                    Step::Ready
                }
                StepProjection::Ready => {
                    if let Some(answer) = this.plan.check_budget() {
                        return Poll::Ready(answer);
                    }
                    let ready = this.plan.poll_ready(cx);
                    if ready.is_pending() {
                        ready!(poll_limit(this.timer.as_mut(), this.plan.limit(), cx));
                        let error = this.plan.timed_out();
                        return Poll::Ready(Err(this.plan.not_ready(error)));
                    }
                    if let Poll::Ready(Err(error)) = ready {
                        return Poll::Ready(Err(this.plan.not_ready(error)));
                    }
                    Step::Attempt(this.plan.attempt())
                }
            };
            this.step.set(next);
        }
    }
}

/// Is ready once what is going on has taken as long as it may. The timer is made when first needed.
fn poll_limit(
    mut timer: Pin<&mut Option<Sleep>>,
    limit: Option<Duration>,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let Some(limit) = limit else {
        return Poll::Pending;
    };
    if timer.is_none() {
        timer.set(Some(sleep(limit)));
    }
    poll_timer(timer, cx)
}

fn poll_timer(timer: Pin<&mut Option<Sleep>>, cx: &mut Context<'_>) -> Poll<()> {
    match timer.as_pin_mut() {
        Some(timer) => timer.poll(cx),
        None => Poll::Ready(()),
    }
}

impl<S, Req, C, R, T, X> fmt::Debug for ResponseFuture<S, Req, C, R, T, X>
where
    S: Service<R::Request>,
    R: Repeat<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
