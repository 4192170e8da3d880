use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{
    AtResponse, BoxError, Classify, ErrorsAreFailures, Finish, KeyBy, Mode, Tracked, Unkeyed,
};

use crate::admission::Admission;
use crate::call::BulkheadCall;
use crate::layer::Rules;
use crate::plan::Plan;
use crate::queue::Class;
use crate::shared::Shared;
use crate::slots::Visitor;
use crate::waiting::Waiting;
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

    /// Finds the compartment of `request` and asks for a slot there.
    #[inline]
    fn admit<Req>(&self, plan: Plan, request: &Req) -> Admission
    where
        K: KeyBy<Req>,
        A: Triage<Req>,
    {
        let Rules { key, triage, .. } = &self.rules;
        if plan.mode() == Mode::Off || triage.bypasses(request) {
            return Admission::Admitted(BulkheadCall::unwatched());
        }
        let way = match key.key(request) {
            None => Arc::clone(self.shared.stripes().mine()),
            Some(of) => self.shared.way_of(of, || key.label(request)),
        };
        Admission::ask(plan, way, self.visitor(plan, request))
    }

    #[inline]
    fn visitor<Req>(&self, plan: Plan, request: &Req) -> Visitor
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
        Visitor {
            class,
            ..Visitor::default()
        }
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
    type Future = ResponseFuture<S, C, N, Req>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let plan = self.shared.plan();
        match self.admit(plan, &request) {
            Admission::Admitted(mut call) => {
                if plan.is_timed() {
                    call.begin();
                }
                let (classify, finish) = self.rules.of_answers();
                let start = || self.inner.call(request);
                ResponseFuture::called(Tracked::new(call, classify, finish, start))
            }
            Admission::Waits(turn) => {
                let (classify, finish) = self.rules.of_answers();
                let inner = self.inner.clone();
                ResponseFuture::waiting(Waiting::new(turn, inner, request, classify, finish))
            }
            Admission::Refused(refusal) => ResponseFuture::refused(refusal),
        }
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
