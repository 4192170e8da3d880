use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::{Sleep, sleep};
use tower_service::Service;
use watertight_core::{
    BoxError, Classify, Note, Outcome, Repeat, RetriesExhausted, Scoped, Signs, fail_on_panic,
};

use crate::letters::Exhausted;
use crate::plan::{Answer, Next, Plan};
use crate::refresh::Refreshing;

/// The future of a call to [`Retry`](crate::Retry).
///
/// `F` is the future of an attempt at the inner service `S`, which answers with a `Res`. An attempt
/// sends a `Q`, which is made of a `Req`, and again of what was kept of that, a `K`.
#[pin_project(project = Projection)]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, F, Res, Req, Q, K, C, R, T, X> {
    #[pin]
    step: Step<F>,
    /// Runs while an attempt has only so long, and between attempts.
    #[pin]
    timer: Option<Sleep>,
    plan: Plan<S, Res, Req, Q, K, C, R, T, X>,
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

impl<F> Step<F> {
    /// Whether no attempt is in flight.
    fn is_between(&self) -> bool {
        !matches!(self, Self::Attempt(_))
    }
}

impl<S, F, Res, Req, Q, K, C, R, T, X> ResponseFuture<S, F, Res, Req, Q, K, C, R, T, X> {
    #[inline]
    pub(crate) fn new(attempt: F, plan: Plan<S, Res, Req, Q, K, C, R, T, X>) -> Self {
        Self {
            step: Step::Attempt(Scoped::unscoped(attempt)),
            timer: None,
            plan,
        }
    }
}

impl<S, F, Res, Req, Q, K, C, R, T, X> Future for ResponseFuture<S, F, Res, Req, Q, K, C, R, T, X>
where
    S: Service<Q, Response = Res, Future = F>,
    S::Error: Into<BoxError>,
    F: Future<Output = Result<Res, S::Error>>,
    C: Classify<Res>,
    R: Repeat<Req, Request = Q, Kept = K>,
    T: Note<Res, RetriesExhausted> + Signs<Res>,
    X: Exhausted<Q, Res>,
{
    type Output = Result<Res, BoxError>;

    /// This is the way of the calls that succeed at once, short enough to be inlined. All others
    /// turn off it.
    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let ended = match self.as_mut().poll_attempt(cx) {
            Some(Poll::Ready(Ok(response))) => match self.as_mut().project().plan.accept(&response)
            {
                None => return Poll::Ready(Ok(response)),
                Some(outcome) => Some((Ok(response), outcome)),
            },
            Some(polled) => Some(ready!(self.as_mut().judge(polled, cx))),
            None => None,
        };
        self.go_on(ended, cx)
    }
}

impl<S, F, Res, Req, Q, K, C, R, T, X> ResponseFuture<S, F, Res, Req, Q, K, C, R, T, X>
where
    S: Service<Q, Response = Res, Future = F>,
    S::Error: Into<BoxError>,
    F: Future<Output = Result<Res, S::Error>>,
    C: Classify<Res>,
    R: Repeat<Req, Request = Q, Kept = K>,
    T: Note<Res, RetriesExhausted> + Signs<Res>,
    X: Exhausted<Q, Res>,
{
    /// Polls the attempt that is in flight, if one is.
    #[inline]
    fn poll_attempt(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Option<Poll<Result<Res, S::Error>>> {
        let this = self.project();
        let StepProjection::Attempt(attempt) = this.step.project() else {
            return None;
        };
        Some(RetriesExhausted::watch(|| {
            fail_on_panic(&mut this.plan.call, || attempt.poll(cx))
        }))
    }

    /// Says how an attempt has ended, and what that means. One that is pending has ended if it has
    /// been so for too long.
    #[inline(never)]
    fn judge(
        self: Pin<&mut Self>,
        polled: Poll<Result<Res, S::Error>>,
        cx: &mut Context<'_>,
    ) -> Poll<(Answer<Res>, Outcome)> {
        let this = self.project();
        let answer = match polled {
            Poll::Ready(answer) => answer.map_err(Into::into),
            Poll::Pending => {
                ready!(poll_limit(this.timer, this.plan.limit(), cx));
                Err(this.plan.timed_out())
            }
        };
        let outcome = this.plan.judge(&answer);
        Poll::Ready((answer, outcome))
    }

    /// Goes on after an attempt that has `ended` so, or where it is.
    #[inline(never)]
    fn go_on(
        mut self: Pin<&mut Self>,
        mut ended: Option<(Answer<Res>, Outcome)>,
        cx: &mut Context<'_>,
    ) -> Poll<Answer<Res>> {
        loop {
            if let Some((answer, outcome)) = ended
                && let Some(answer) = self.as_mut().settle(answer, outcome)
            {
                return Poll::Ready(answer);
            }
            while self.as_mut().project().step.is_between() {
                if let Some(answer) = ready!(self.as_mut().poll_between(cx)) {
                    return Poll::Ready(answer);
                }
            }
            ended = match self.as_mut().poll_attempt(cx) {
                Some(polled) => Some(ready!(self.as_mut().judge(polled, cx))),
                None => None,
            };
        }
    }

    /// Decides what follows an attempt. Returns the answer if nothing does.
    fn settle(self: Pin<&mut Self>, answer: Answer<Res>, outcome: Outcome) -> Option<Answer<Res>> {
        let mut this = self.project();
        // What has failed goes before anything new begins.
        this.step.set(Step::Ready);
        this.timer.set(None);
        match this.plan.settle(answer, outcome) {
            Next::Return(answer) => return Some(answer),
            Next::Wait(Duration::ZERO) => {}
            Next::Wait(delay) => {
                this.timer.set(Some(sleep(delay)));
                this.step.set(Step::Wait);
            }
            Next::Refresh(refreshing) => this.step.set(Step::Refresh(refreshing)),
        }
        None
    }

    /// Takes the next step towards another attempt. Returns the answer if there will be none.
    fn poll_between(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Answer<Res>>> {
        let mut this = self.project();
        let next = match this.step.as_mut().project() {
            StepProjection::Attempt(_) => return Poll::Ready(None),
            StepProjection::Wait => {
                ready!(poll_timer(this.timer.as_mut(), cx));
                this.timer.set(None);
                Step::Ready
            }
            StepProjection::Refresh(refreshing) => {
                let refreshed = fail_on_panic(&mut this.plan.call, || refreshing.as_mut().poll(cx));
                if !ready!(refreshed)
                    && let Some(answer) = this.plan.withdraw(None)
                {
                    return Poll::Ready(Some(answer));
                }
                Step::Ready
            }
            StepProjection::Ready => {
                if let Some(answer) = this.plan.check_budget() {
                    return Poll::Ready(Some(answer));
                }
                let ready = this.plan.poll_ready(cx);
                if ready.is_pending() {
                    ready!(poll_limit(this.timer.as_mut(), this.plan.limit(), cx));
                    let error = this.plan.timed_out();
                    return Poll::Ready(Some(Err(this.plan.not_ready(error))));
                }
                if let Poll::Ready(Err(error)) = ready {
                    return Poll::Ready(Some(Err(this.plan.not_ready(error))));
                }
                Step::Attempt(this.plan.attempt())
            }
        };
        this.step.set(next);
        Poll::Ready(None)
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

impl<S, F, Res, Req, Q, K, C, R, T, X> fmt::Debug
    for ResponseFuture<S, F, Res, Req, Q, K, C, R, T, X>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
