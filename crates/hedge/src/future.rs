use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;
use watertight_core::{BoxError, Classify, Outcome, Repeat, RetriesExhausted, judge};

use crate::call::{Attempt, HedgeCall};
use crate::hedges::{Hedges, Sending};
use crate::race::{Next, Standing};

/// The future of a call to [`Hedge`](crate::Hedge).
///
/// `F` is the future of the first attempt, `G` that of a hedge at the service `H`. They answer with
/// a `Res`. A hedge sends what was kept of a `Req`, a `K`.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, Res, C, H, G, R, K, Req> {
    /// `None` once it has ended.
    #[pin]
    primary: Option<F>,
    classify: C,
    /// `None` for a call that nobody looks at, and once it has ended.
    call: Option<HedgeCall>,
    /// `None` for a call that is not to be hedged.
    hedges: Option<Hedges<H, G, R, K, Req>>,
    /// The wait for the next hedge.
    #[pin]
    timer: Option<Sleep>,
    /// The failure of the primary, where hedges were in flight.
    failed: Option<Box<Failed<Res>>>,
}

/// A failure that may yet be the answer.
struct Failed<Res> {
    result: Result<Res, BoxError>,
    outcome: Outcome,
    /// Whether a retry layer below has given up on it, which is known only for now.
    is_given_up: bool,
}

impl<F, Res, C, H, G, R, K, Req> ResponseFuture<F, Res, C, H, G, R, K, Req> {
    #[inline]
    pub(crate) const fn new(
        primary: F,
        classify: C,
        call: Option<HedgeCall>,
        hedges: Option<Hedges<H, G, R, K, Req>>,
    ) -> Self {
        Self {
            primary: Some(primary),
            classify,
            call,
            hedges,
            timer: None,
            failed: None,
        }
    }
}

impl<F, Res, C, H, G, R, K, Req, E> Future for ResponseFuture<F, Res, C, H, G, R, K, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res>,
    H: Service<R::Request, Response = Res, Future = G>,
    H::Error: Into<BoxError>,
    G: Future<Output = Result<Res, H::Error>>,
    R: Repeat<Req, Kept = K>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.as_mut().mark(true);
        let polled = self.as_mut().poll_all(cx);
        self.mark(false);
        polled
    }
}

impl<F, Res, C, H, G, R, K, Req, E> ResponseFuture<F, Res, C, H, G, R, K, Req>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    C: Classify<Res>,
    H: Service<R::Request, Response = Res, Future = G>,
    H::Error: Into<BoxError>,
    G: Future<Output = Result<Res, H::Error>>,
    R: Repeat<Req, Kept = K>,
{
    /// Says whether code of others runs.
    #[inline]
    fn mark(self: Pin<&mut Self>, inside: bool) {
        if let Some(call) = self.project().call {
            call.inside = inside;
        }
    }

    /// Lets all attempts go on, the oldest first, and only then looks at the time: a result that is
    /// ready together with the timer comes first.
    #[inline]
    fn poll_all(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Res, BoxError>> {
        if let Poll::Ready(answer) = self.as_mut().poll_primary(cx) {
            return Poll::Ready(answer);
        }
        if self.hedges.is_none() {
            return Poll::Pending;
        }
        let polled = self.as_mut().poll_hedges(0, cx);
        if polled.is_ready() {
            return polled;
        }
        self.poll_next(cx)
    }

    #[inline]
    fn poll_primary(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Res, BoxError>> {
        let mut this = self.as_mut().project();
        let Some(primary) = this.primary.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        let result = ready!(primary.poll(cx)).map_err(Into::into);
        if this
            .hedges
            .as_ref()
            .is_some_and(|hedges| hedges.race.sent() > 0)
        {
            return self.settle(result, Attempt::Primary);
        }
        if let Some(call) = this.call {
            call.end(&meaning(this.classify, &result));
        }
        *this.call = None;
        Poll::Ready(result)
    }

    /// Lets the hedges go on, from the `first` on.
    fn poll_hedges(
        mut self: Pin<&mut Self>,
        mut first: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Res, BoxError>> {
        while let Some(hedges) = self.as_mut().project().hedges {
            let (at, result) = ready!(hedges.poll_answer(first, cx));
            let settled = self.as_mut().settle(result, Attempt::Hedge);
            if settled.is_ready() {
                return settled;
            }
            first = at;
        }
        Poll::Pending
    }

    /// Does what is to be done for the next hedge, until there is something to wait for.
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<Res, BoxError>> {
        loop {
            let mut this = self.as_mut().project();
            let (Some(call), Some(hedges)) = (this.call.as_mut(), this.hedges.as_mut()) else {
                return Poll::Pending;
            };
            match hedges.race.next() {
                Next::Ask => hedges.race.delayed(call.ask()),
                Next::After(delay) => {
                    call.gives_back();
                    if let Some(at) = hedges.due_after(delay, call.began()) {
                        this.timer.set(Some(sleep_until(at)));
                        hedges.race.waits();
                    } else if hedges.race.stop() == Standing::Lost {
                        return Poll::Ready(self.lose());
                    }
                }
                Next::Wait => {
                    if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                        ready!(timer.poll(cx));
                    }
                    hedges.race.is_due();
                }
                Next::Send => match ready!(hedges.poll_send(call, cx)) {
                    Sending::Counted => hedges.race.was_counted(call.delay()),
                    Sending::Sent => {
                        // A failure may have come before the time.
                        this.timer.set(None);
                        hedges.race.was_sent(call.delay());
                        let newest = hedges.in_flight() - 1;
                        let polled = self.as_mut().poll_hedges(newest, cx);
                        if polled.is_ready() {
                            return polled;
                        }
                    }
                    Sending::Stopped => {
                        call.gives_back();
                        if hedges.race.stop() == Standing::Lost {
                            return Poll::Ready(self.lose());
                        }
                    }
                },
                Next::Never => {
                    this.timer.set(None);
                    hedges.let_go();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Takes note of the answer of an attempt, where hedges have been sent.
    #[cold]
    fn settle(
        mut self: Pin<&mut Self>,
        result: Result<Res, BoxError>,
        attempt: Attempt,
    ) -> Poll<Result<Res, BoxError>> {
        let mut this = self.as_mut().project();
        let (Some(call), Some(hedges)) = (this.call.as_mut(), this.hedges.as_mut()) else {
            return Poll::Ready(result);
        };
        let outcome = meaning(this.classify, &result);
        let standing = hedges.race.answered(&outcome);
        if standing == Standing::Decides {
            // Whoever has lost is gone before the winner is known.
            this.primary.set(None);
            *this.hedges = None;
            *this.failed = None;
            call.won(attempt, &outcome);
            *this.call = None;
            return Poll::Ready(result);
        }
        call.attempt_failed(attempt, &outcome);
        if attempt == Attempt::Primary {
            this.primary.set(None);
            let error = result.as_ref().err();
            let is_given_up = error.is_some_and(|error| RetriesExhausted::is_marked(&**error));
            *this.failed = Some(Box::new(Failed {
                result,
                outcome,
                is_given_up,
            }));
        }
        match standing {
            Standing::Lost => Poll::Ready(self.lose()),
            Standing::Decides | Standing::Open => Poll::Pending,
        }
    }

    /// Ends a call in which all attempts have failed.
    #[cold]
    fn lose(self: Pin<&mut Self>) -> Result<Res, BoxError> {
        let this = self.project();
        let failed = this.failed.take();
        let failed = failed.expect("where all have failed, so has the first attempt");
        if let Some(call) = this.call {
            call.lost(&failed.outcome);
        }
        *this.call = None;
        if let (true, Err(error)) = (failed.is_given_up, &failed.result) {
            RetriesExhausted::mark(&**error);
        }
        failed.result
    }
}

impl<F, Res, C, H, G, R, K, Req> fmt::Debug for ResponseFuture<F, Res, C, H, G, R, K, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[inline]
fn meaning<Res, C: Classify<Res>>(classify: &C, result: &Result<Res, BoxError>) -> Outcome {
    judge(classify, result.as_ref().map_err(|error| &**error))
}
