use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::time::{Instant, timeout};
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish, KeyBy, Mode, Note, QuotaStatus, Reason};

use super::future::StoredFuture;
use super::inquiry::Inquiry;
use super::question::{Question, answered, count_in_shadow};
use super::waiting::Waiting;
use super::{Act, Answer, Store, StoreError};
use crate::call::RateLimitCall;
use crate::front::{Front, deadline};
use crate::{Demand, Penalty, Rules};

/// Bounds how much comes to an inner service in a time, by quotas that a store keeps.
///
/// Made by a layer with a [store](crate::RateLimitBuilder::store), of whatever algorithm.
#[derive(Clone)]
pub struct Stored<S, St, R = Rules> {
    inner: S,
    store: St,
    front: Front<R>,
}

impl<S, St, R> Stored<S, St, R> {
    pub(crate) const fn new(inner: S, store: St, front: Front<R>) -> Self {
        Self {
            inner,
            store,
            front,
        }
    }
}

/// What has become of a call so far.
#[allow(clippy::large_enum_variant, reason = "it is taken apart at once")]
enum Asked<St: Store, P> {
    /// It does not ask.
    Passes(RateLimitCall<P>),
    /// It may be made when the store has said so.
    Asks(Inquiry<P>, St::Asking),
}

impl<S, St: Store, C, N, K, D, P: Clone, T> Stored<S, St, Rules<C, N, K, D, P, T>> {
    /// Asks the store about a call of `request`.
    fn ask<Req>(&self, request: &Req, mode: Mode) -> Result<Asked<St, P>, BoxError>
    where
        K: KeyBy<Req>,
        D: Demand<Req>,
    {
        let (front, core) = (&self.front, &self.front.shared.core);
        let unwatched = || Ok(Asked::Passes(front.unwatched()));
        if mode == Mode::Off {
            return unwatched();
        }
        let limits = core.limits.load();
        let Some(ask) = front.ask(&limits, mode, request)? else {
            return unwatched();
        };
        // It is asked first, for it needs no round trip to refuse.
        let total = limits.total.as_ref();
        let of_total = total.map(|total| total.take(ask.cost, Instant::now()));
        if let Some(verdict) = of_total.filter(|verdict| !verdict.decision.admitted) {
            if mode == Mode::Shadow {
                core.refuse_in_shadow(Reason::RateLimited);
                return unwatched();
            }
            return Err(core.refuse(&verdict));
        }
        let question = Question::new(ask, deadline(), total.map(|total| total.term));
        // It gives back what was taken of the total if the store panics.
        let inquiry = Inquiry::new(front.watched(ask), question);
        let order = limits.order(ask, Act::Take(ask.cost), question.patience);
        let asking = self.store.ask(&order);
        Ok(Asked::Asks(inquiry, asking))
    }

    /// Lets a call pass at once, and counts what would have become of it.
    #[cold]
    fn look_on(
        &self,
        mut inquiry: Inquiry<P>,
        mut asking: St::Asking,
        answer: Poll<Result<Answer, StoreError>>,
    ) -> RateLimitCall<P> {
        let (core, question) = (&self.front.shared.core, inquiry.question);
        let Some(call) = inquiry.call.take() else {
            return self.front.unwatched();
        };
        if let Poll::Ready(answer) = answer {
            if count_in_shadow(core, &question.settle(core, answer)) {
                call.forget();
                return self.front.unwatched();
            }
            return call;
        }
        let (core, time) = (Arc::clone(core), core.limits.load().store.timeout);
        let behind = Arc::clone(&core);
        core.behind(async move {
            let answer = timeout(time, Pin::new(&mut asking)).await;
            count_in_shadow(&behind, &question.settle(&behind, answered(answer)));
        });
        call
    }
}

impl<S, St, C, N, K, D, P, T, Req> Service<Req> for Stored<S, St, Rules<C, N, K, D, P, T>>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    St: Store,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    K: KeyBy<Req>,
    D: Demand<Req>,
    P: Penalty + Clone,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    type Response = N::Response<RateLimitCall<P>>;
    type Error = BoxError;
    type Future = StoredFuture<S, S::Future, St::Asking, C, N, P, T, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let mode = self.front.shared.core.mode();
        let (mut inquiry, mut asking) = match self.ask(&request, mode) {
            Ok(Asked::Asks(inquiry, asking)) => (inquiry, asking),
            Ok(Asked::Passes(call)) => {
                let start = || self.inner.call(request);
                return StoredFuture::called(self.front.make(call, None, start));
            }
            Err(refusal) => return StoredFuture::refused(refusal),
        };
        // A store that answers at once has the instance called that is ready. One that does not is
        // polled again before anything waits for it, by who waits.
        let polled = Pin::new(&mut asking).poll(&mut Context::from_waker(Waker::noop()));
        let polled = polled.map_err(StoreError::of);
        if mode == Mode::Shadow {
            let call = self.look_on(inquiry, asking, polled);
            let start = || self.inner.call(request);
            return StoredFuture::called(self.front.make(call, None, start));
        }
        let waiting = match polled.map(|answer| inquiry.settle(answer)) {
            Poll::Ready(Err(refusal)) => return StoredFuture::refused(refusal),
            Poll::Ready(Ok((wait, quota))) if wait.is_zero() => {
                let Some(call) = inquiry.call.take() else {
                    unreachable!("a call that passes is made");
                };
                let start = || self.inner.call(request);
                return StoredFuture::called(self.front.make(call, quota, start));
            }
            Poll::Ready(Ok((wait, quota))) => {
                let of_answers = self.front.of_answers(quota);
                Waiting::for_turn(wait, inquiry, self.inner.clone(), request, of_answers)
            }
            Poll::Pending => {
                let time = self.front.shared.core.limits.load().store.timeout;
                let of_answers = self.front.of_answers(None);
                let inner = self.inner.clone();
                Waiting::for_answer(asking, time, inquiry, inner, request, of_answers)
            }
        };
        StoredFuture::waiting(waiting)
    }
}

impl<S: fmt::Debug, St, R> fmt::Debug for Stored<S, St, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored")
            .field("inner", &self.inner)
            .field("shared", &self.front.shared)
            .finish_non_exhaustive()
    }
}
