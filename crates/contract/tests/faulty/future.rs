use std::hint::black_box;
use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tower::BoxError;
use watertight_contract::{ProbeFuture, Response};

use super::Fault;
use super::permit::{Limit, Permit};

type Answer = Result<Response, BoxError>;

#[derive(Debug)]
pub(crate) enum ResponseFuture {
    Refused(Option<BoxError>),
    Called(Called),
}

impl ResponseFuture {
    pub(crate) fn refused(error: BoxError) -> Self {
        Self::Refused(Some(error))
    }

    pub(crate) fn called(
        inner: ProbeFuture,
        permit: Permit,
        fault: Fault,
        limit: &Arc<Limit>,
    ) -> Self {
        Self::Called(Called {
            inner: Some(inner),
            permit,
            fault,
            limit: Arc::clone(limit),
            polls: 0,
            running: false,
            late: None,
            first_waker: None,
        })
    }
}

impl Future for ResponseFuture {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        match self.get_mut() {
            Self::Refused(error) => Poll::Ready(Err(error.take().expect("it is refused once"))),
            Self::Called(called) => called.poll(cx),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Called {
    /// `None` once it has answered.
    inner: Option<ProbeFuture>,
    permit: Permit,
    fault: Fault,
    limit: Arc<Limit>,
    polls: usize,
    /// Set while the inner future is polled.
    running: bool,
    late: Option<Answer>,
    first_waker: Option<Waker>,
}

impl Called {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        self.polls += 1;
        if let Some(late) = self.late.take() {
            return Poll::Ready(late);
        }
        self.running = true;
        let polled = self.poll_inner(cx);
        self.running = false;

        let Poll::Ready(answer) = polled else {
            match self.fault {
                Fault::WakesItself => cx.waker().wake_by_ref(),
                Fault::Spins => return self.poll_inner(cx),
                Fault::AllocatesInPoll => drop(black_box(Box::new(self.polls))),
                _ => {}
            }
            return Poll::Pending;
        };
        if self.fault == Fault::PollsAfterEnd {
            let _ = self.poll_inner(cx);
        }
        self.inner = None;
        if self.fault == Fault::AnswersLate && self.polls == 1 {
            self.late = Some(answer);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(self.pass(answer))
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Answer> {
        let waker = match self.fault {
            Fault::ThrowsWakerAway => Waker::noop(),
            Fault::RegistersOnce if self.polls > 1 => Waker::noop(),
            Fault::KeepsTheFirstWaker => self.first_waker.get_or_insert_with(|| cx.waker().clone()),
            Fault::SharesOneWaker => &self.limit.waker.for_last(cx.waker()),
            _ => cx.waker(),
        };
        let mut cx = Context::from_waker(waker);
        let inner = Pin::new(self.inner.as_mut().expect("it has not answered"));
        if self.fault == Fault::CatchesPanicInPoll {
            return catch_unwind(AssertUnwindSafe(|| inner.poll(&mut cx)))
                .unwrap_or_else(|_| Poll::Ready(Err("it panicked".into())));
        }
        inner.poll(&mut cx)
    }

    fn pass(&self, answer: Answer) -> Answer {
        match (self.fault, answer) {
            (Fault::ChangesResponse, Ok(response)) => Ok(Response {
                id: response.id + 1,
            }),
            (Fault::WrapsError, Err(error)) => Err(format!("failed: {error}").into()),
            (Fault::EatsError, Err(_)) => Ok(Response { id: 0 }),
            (_, answer) => answer,
        }
    }
}

impl Drop for Called {
    fn drop(&mut self) {
        let panicked = mem::take(&mut self.running);
        let dropped = !panicked && self.inner.is_some();
        let keeps_permit = match self.fault {
            Fault::KeepsPermitWhenDroppedUnpolled => dropped && self.polls == 0,
            Fault::KeepsPermitWhenDroppedPolled => dropped && self.polls > 0,
            Fault::KeepsPermitWhenDroppedAfterThreePolls => dropped && self.polls == 3,
            Fault::KeepsPermitWhenPollPanics => panicked,
            Fault::KeepsPermitWhenSecondPollPanics => panicked && self.polls == 2,
            _ => false,
        };
        if keeps_permit {
            self.permit.lose();
        }
        if self.fault == Fault::KeepsInnerFuture && dropped {
            mem::forget(self.inner.take());
        }
    }
}
