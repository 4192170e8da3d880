use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project::pin_project;
use tokio::time::{Instant, Sleep, sleep};
use tower_service::Service;
use watertight_core::{
    BoxError, Call, Classify, Finish, Note, QuotaStatus, Tracked, fail_on_panic, judge,
};

use super::inquiry::Inquiry;
use super::{Answer, StoreError};
use crate::Penalty;
use crate::front::Called;
use crate::noting::Noting;

/// A call that waits for the store, and for the turn that it is given, with all that it takes to make
/// it later.
///
/// It took a clone of the service along, which is driven to readiness when it may be made.
#[pin_project]
pub(super) struct Waiting<S, A, C, N, P, T, Req> {
    /// `None` once it has answered.
    asking: Option<A>,
    /// For as long as the store may take, and then until the turn.
    #[pin]
    timer: Sleep,
    /// Whether the timer is all that the call waits for.
    has_turn: bool,
    inquiry: Inquiry<P>,
    inner: S,
    /// `None` once it is sent.
    request: Option<Req>,
    classify: C,
    finish: Noting<N, T>,
}

impl<S, A, C, N, P, T, Req> Waiting<S, A, C, N, P, T, Req> {
    /// Waits for the answer of a store that may take so much `time`.
    pub(super) fn for_answer(
        asking: A,
        time: Duration,
        inquiry: Inquiry<P>,
        inner: S,
        request: Req,
        (classify, finish): (C, Noting<N, T>),
    ) -> Self {
        Self {
            asking: Some(asking),
            timer: sleep(inquiry.question.time_of(time)),
            has_turn: false,
            inquiry,
            inner,
            request: Some(request),
            classify,
            finish,
        }
    }

    /// Waits for a turn that the store has given at once.
    pub(super) fn for_turn(
        wait: Duration,
        inquiry: Inquiry<P>,
        inner: S,
        request: Req,
        (classify, finish): (C, Noting<N, T>),
    ) -> Self {
        Self {
            asking: None,
            timer: sleep(wait),
            has_turn: true,
            inquiry,
            inner,
            request: Some(request),
            classify,
            finish,
        }
    }
}

impl<S, A, C, N, P, T, Req, E> Waiting<S, A, C, N, P, T, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    A: Future<Output = Result<Answer, E>> + Send + Unpin + 'static,
    E: Error + Send + Sync + 'static,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    P: Penalty,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    /// Calls the service when the store has let it, it is the call's turn, and the service is ready.
    #[allow(
        clippy::type_complexity,
        reason = "each of them is a type of the user's"
    )]
    pub(super) fn poll_call(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Called<S::Future, C, N, P, T>, BoxError>> {
        if let Err(refusal) = ready!(self.as_mut().poll_answer(cx)) {
            return Poll::Ready(Err(refusal));
        }
        let this = self.project();
        if *this.has_turn {
            ready!(this.timer.poll(cx));
            *this.has_turn = false;
            this.inquiry.turn_has_come();
        }
        let ready = ready!(fail_on_panic(&mut this.inquiry.call, || this
            .inner
            .poll_ready(cx)));

        let (Some(call), Some(request)) = (this.inquiry.call.take(), this.request.take()) else {
            unreachable!("a call is made once");
        };
        if let Err(error) = ready {
            let error = error.into();
            call.end(judge(this.classify, Err(&*error)));
            return Poll::Ready(Err(error));
        }
        let (classify, finish) = (this.classify.clone(), this.finish.clone());
        let inner = this.inner;
        let start = || inner.call(request);
        Poll::Ready(Ok(Tracked::new(call, classify, finish, start)))
    }

    /// Waits for the store.
    fn poll_answer(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut this = self.project();
        let Some(mut asking) = this.asking.take() else {
            return Poll::Ready(Ok(()));
        };
        let answer = match Pin::new(&mut asking).poll(cx) {
            Poll::Ready(answer) => answer.map_err(StoreError::of),
            Poll::Pending if this.timer.as_mut().poll(cx).is_pending() => {
                *this.asking = Some(asking);
                return Poll::Pending;
            }
            Poll::Pending if this.inquiry.question.is_overdue() => {
                return Poll::Ready(Err(this.inquiry.refuse_at_deadline(asking)));
            }
            Poll::Pending => Err(StoreError::TimedOut),
        };
        let (wait, quota) = this.inquiry.settle(answer)?;
        this.finish.say(quota);
        if !wait.is_zero() {
            this.timer.reset(Instant::now() + wait);
            *this.has_turn = true;
        }
        Poll::Ready(Ok(()))
    }
}
