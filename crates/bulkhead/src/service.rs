use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{
    AtResponse, BoxError, Classify, ErrorsAreFailures, Finish, KeyBy, Mode, Tracked, Unkeyed,
};

use crate::admission::{self, Admission};
use crate::call::BulkheadCall;
use crate::layer::Rules;
use crate::plan::Plan;
use crate::queue::Class;
use crate::shared::Shared;
use crate::turn::Turn;
use crate::waiting::Waiting;
use crate::way::Held;
use crate::{ByContext, ResponseFuture, Triage};

/// Bounds how many calls to an inner service are in flight.
///
/// Made by [`BulkheadLayer`](crate::BulkheadLayer).
pub struct Bulkhead<S, C = ErrorsAreFailures, N = AtResponse, K = Unkeyed, A = ByContext> {
    inner: S,
    shared: Arc<Shared>,
    rules: Rules<C, N, K, A>,
}

impl<S, C, N, K, A> Bulkhead<S, C, N, K, A> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared>, rules: Rules<C, N, K, A>) -> Self {
        Self {
            inner,
            shared,
            rules,
        }
    }

    /// Finds the way to the compartment of `request`. That of a stripe is held only once there is a
    /// slot to give back.
    #[inline]
    fn way<Req>(&self, request: &Req) -> Cow<'_, Held>
    where
        K: KeyBy<Req>,
    {
        match self.rules.key.key(request) {
            None => Cow::Borrowed(self.shared.stripes().mine()),
            Some(key) => {
                let label = || self.rules.key.label(request);
                Cow::Owned(self.shared.way_of(key, label))
            }
        }
    }

    /// Finds out what `request` is told apart by, as far as that makes a difference.
    #[inline]
    fn class<Req>(&self, plan: Plan, request: &Req) -> Class
    where
        A: Triage<Req>,
    {
        let triage = &self.rules.triage;
        let mut class = Class::default();
        if plan.is_sorted() {
            class.priority = triage.priority(request);
        }
        if plan.is_partitioned() {
            let name = triage.partition(request);
            class.partition = name.and_then(|name| self.shared.partition(name.as_ref()));
        }
        class
    }

    /// Lets a call wait, which takes a clone of the service along.
    #[cold]
    fn wait<Req>(&self, turn: Turn, request: Req) -> ResponseFuture<S, S::Future, C, N, Req>
    where
        S: Service<Req> + Clone,
        C: Clone,
        N: Clone,
    {
        let (classify, finish) = self.rules.of_answers();
        let inner = self.inner.clone();
        ResponseFuture::waiting(Waiting::new(turn, inner, request, classify, finish))
    }
}

impl<S, C, N, K, A, Req> Service<Req> for Bulkhead<S, C, N, K, A>
where
    S: Service<Req> + Clone,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    K: KeyBy<Req>,
    A: Triage<Req>,
{
    type Response = N::Response<BulkheadCall>;
    type Error = BoxError;
    type Future = ResponseFuture<S, S::Future, C, N, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let plan = self.shared.plan();
        let call = if plan.mode() == Mode::Off || self.rules.triage.bypasses(&request) {
            BulkheadCall::unwatched()
        } else {
            let class = self.class(plan, &request);
            let way = self.way(&request);
            match admission::take(plan, &way, class) {
                Some(place) => BulkheadCall::new(way.into_owned(), place),
                None => match Admission::ask(plan, &way, class) {
                    Admission::Admitted(call) => call,
                    Admission::Waits(turn) => return self.wait(turn, request),
                    Admission::Refused(refusal) => return ResponseFuture::refused(refusal),
                },
            }
        };
        let (classify, finish) = self.rules.of_answers();
        let call = call.begin(plan);
        let start = || self.inner.call(request);
        ResponseFuture::called(Tracked::new(call, classify, finish, start))
    }
}

impl<S: Clone, C: Clone, N: Clone, K: Clone, A: Clone> Clone for Bulkhead<S, C, N, K, A> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            rules: self.rules.clone(),
        }
    }
}

impl<S: fmt::Debug, C, N, K, A> fmt::Debug for Bulkhead<S, C, N, K, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bulkhead")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
