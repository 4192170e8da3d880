use std::fmt;
use std::pin::{Pin, pin};
use std::task::{self, Poll, ready};

use pin_project::pin_project;
use tokio::task::coop::unconstrained;
use tokio::time::{Sleep, sleep_until};
use watertight_core::{
    BoxError, Classify, Context, Finish, Name, Reason, Rejection, ScopeResponse, Scoped, Tracked,
};

use super::call::DeadlineCall;

/// The future of a call to [`Deadline`](crate::Deadline).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct DeadlineFuture<F, D, C, N> {
    #[pin]
    state: State<F, C, N>,
    /// Made when the call is not answered at once.
    #[pin]
    timer: Option<Sleep>,
    deadlines: D,
}

#[pin_project(project = StateProj)]
enum State<F, C, N> {
    /// `None` once it has been said.
    Refused(Option<BoxError>),
    Called {
        #[pin]
        call: Tracked<Scoped<F>, DeadlineCall, C, N>,
        /// That of the rest of the response, whose deadline is enforced.
        context: Option<Context>,
        name: Name,
    },
}

impl<F, D, C, N> DeadlineFuture<F, D, C, N> {
    pub(super) const fn refused(refusal: BoxError, deadlines: D) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
            timer: None,
            deadlines,
        }
    }

    #[inline]
    pub(super) const fn called(
        call: Tracked<Scoped<F>, DeadlineCall, C, N>,
        context: Option<Context>,
        name: Name,
        deadlines: D,
    ) -> Self {
        Self {
            state: State::Called {
                call,
                context,
                name,
            },
            timer: None,
            deadlines,
        }
    }
}

impl<F, D, C, N, Res, E> Future for DeadlineFuture<F, D, C, N>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res>,
    N: Finish<Res, C>,
    D: ScopeResponse<N::Response<DeadlineCall>>,
{
    type Output = Result<D::Response, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let (call, context, name) = match this.state.as_mut().project() {
            StateProj::Called {
                call,
                context,
                name,
            } => (call, context, *name),
            StateProj::Refused(refusal) => {
                let refusal = refusal.take().expect("a call is refused only once");
                return Poll::Ready(Err(refusal));
            }
        };
        if let Poll::Ready(result) = call.poll(cx) {
            let context = context.take();
            return Poll::Ready(
                result.map(|response| this.deadlines.scope(response, context, name)),
            );
        }
        let Some(deadline) = context.as_ref().and_then(|context| context.deadline) else {
            return Poll::Pending;
        };
        if this.timer.is_none() {
            this.timer.set(Some(sleep_until(deadline)));
        }
        if let Some(timer) = this.timer.as_pin_mut() {
            // What was called may have used the cooperative budget of the task up, at every poll.
            ready!(pin!(unconstrained(timer)).poll(cx));
        }
        // What was called is dropped now, not when somebody drops this.
        this.state.set(State::Refused(None));
        Poll::Ready(Err(Rejection::new(Reason::DeadlineExceeded, name).into()))
    }
}

impl<F, D, C, N> fmt::Debug for DeadlineFuture<F, D, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DeadlineFuture").finish_non_exhaustive()
    }
}
