use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Call, Classify, Finish, Tracked, fail_on_panic, judge};

use crate::call::BulkheadCall;
use crate::turn::Turn;

/// A call that is made.
pub(crate) type Called<F, C, N> = Tracked<F, BulkheadCall, C, N>;

/// A call that waits, with all that it takes to make it later.
///
/// It took a clone of the service along. That is driven to readiness when there is a slot, and not
/// before: a queue would hoard what is reserved below.
#[pin_project]
pub(crate) struct Waiting<S, C, N, Req> {
    #[pin]
    turn: Turn,
    /// `None` before there is a slot.
    call: Option<BulkheadCall>,
    inner: S,
    /// `None` once it is sent.
    request: Option<Req>,
    classify: C,
    finish: N,
}

impl<S, C, N, Req> Waiting<S, C, N, Req> {
    pub(crate) const fn new(turn: Turn, inner: S, request: Req, classify: C, finish: N) -> Self {
        Self {
            turn,
            call: None,
            inner,
            request: Some(request),
            classify,
            finish,
        }
    }
}

/// Calls the service when it is its turn, and the service is ready.
impl<S, C, N, Req> Future for Waiting<S, C, N, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
{
    type Output = Result<Called<S::Future, C, N>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if this.call.is_none() {
            *this.call = Some(ready!(this.turn.as_mut().poll(cx))?);
        }
        let Poll::Ready(ready) = fail_on_panic(this.call, || this.inner.poll_ready(cx)) else {
            let refusal = ready!(this.turn.as_mut().poll_patience(cx));
            if let Some(call) = this.call.take() {
                call.give_up();
            }
            return Poll::Ready(Err(refusal));
        };

        let (Some(call), Some(request)) = (this.call.take(), this.request.take()) else {
            unreachable!("a call is made once");
        };
        if let Err(error) = ready {
            let error = error.into();
            call.end(judge(this.classify, Err(&*error)));
            return Poll::Ready(Err(error));
        }
        let call = call.begin(this.turn.plan());
        let (classify, finish) = (this.classify.clone(), this.finish.clone());
        let inner = this.inner;
        let start = || inner.call(request);
        Poll::Ready(Ok(Tracked::new(call, classify, finish, start)))
    }
}
