use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{
    BoxError, Classify, Finish, Key, KeyBy, Mode, Note, QuotaStatus, Reason, Tracked,
};

use crate::call::RateLimitCall;
use crate::limits::{Ask, Limits};
use crate::noting::Noting;
use crate::shared::Shared;
use crate::{Demand, MissingKey, Penalty, ResponseFuture, Rules};

/// Bounds how much comes to an inner service in a time.
///
/// Made by a [`RateLimitLayer`](crate::RateLimitLayer), whatever its algorithm.
pub struct RateLimit<S, R = Rules> {
    inner: S,
    shared: Arc<Shared>,
    rules: R,
}

impl<S, R> RateLimit<S, R> {
    pub(crate) const fn new(inner: S, shared: Arc<Shared>, rules: R) -> Self {
        Self {
            inner,
            shared,
            rules,
        }
    }
}

/// A call that passes, and what is said of the limit on its answer.
type Passed<P> = (RateLimitCall<P>, Option<QuotaStatus>);

impl<S, C, N, K, D, P: Clone, T> RateLimit<S, Rules<C, N, K, D, P, T>> {
    /// Decides on a call of `request`.
    #[inline]
    fn admit<Req>(&self, mode: Mode, request: &Req) -> Result<Passed<P>, BoxError>
    where
        K: KeyBy<Req>,
        D: Demand<Req>,
    {
        let core = &self.shared.core;
        let limits = core.limits.load();
        let key = if K::KEYED {
            self.rules.key.key(request)
        } else {
            None
        };
        if K::KEYED && key.is_none() {
            match limits.missing_key {
                MissingKey::Share => {}
                MissingKey::Allow => return Ok(self.unwatched()),
                MissingKey::Refuse if mode == Mode::Shadow => {
                    core.refuse_in_shadow(Reason::KeyMissing);
                    return Ok(self.unwatched());
                }
                MissingKey::Refuse => return Err(core.refuse_without_key()),
            }
        }
        let ask = self.ask(&limits, key, request);
        let verdict = limits.take(ask, Instant::now());
        if verdict.decision.admitted {
            let way = Arc::clone(self.shared.stripes.mine());
            let call = RateLimitCall::new(way, ask, self.rules.penalty.clone());
            let is_said = limits.announce && mode == Mode::Enforce;
            Ok((call, is_said.then(|| verdict.quota())))
        } else if mode == Mode::Shadow {
            core.refuse_in_shadow(Reason::RateLimited);
            Ok(self.unwatched())
        } else {
            Err(core.refuse(&verdict))
        }
    }

    fn ask<Req>(&self, limits: &Limits, key: Option<Key>, request: &Req) -> Ask
    where
        D: Demand<Req>,
    {
        let demand = &self.rules.demand;
        let plan = demand.plan(request);
        let plan = plan.and_then(|name| limits.plan(name.as_ref()));
        Ask {
            plan: plan.unwrap_or_default(),
            key,
            cost: demand.cost(request),
        }
    }

    fn unwatched(&self) -> Passed<P> {
        let call = RateLimitCall::unwatched(self.rules.penalty.clone());
        (call, None)
    }
}

impl<S, C, N, K, D, P, T, Req> Service<Req> for RateLimit<S, Rules<C, N, K, D, P, T>>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    K: KeyBy<Req>,
    D: Demand<Req>,
    P: Penalty + Clone,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    type Response = N::Response<RateLimitCall<P>>;
    type Error = BoxError;
    type Future = ResponseFuture<S::Future, C, N, P, T>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let passed = match self.shared.core.mode() {
            Mode::Off => Ok(self.unwatched()),
            mode => self.admit(mode, &request),
        };
        let (call, quota) = match passed {
            Ok(passed) => passed,
            Err(refusal) => return ResponseFuture::refused(refusal),
        };
        let rules = &self.rules;
        let finish = Noting::new(rules.finish.clone(), rules.notes.clone(), quota);
        let start = || self.inner.call(request);
        ResponseFuture::called(Tracked::new(call, rules.classify.clone(), finish, start))
    }
}

impl<S: Clone, R: Clone> Clone for RateLimit<S, R> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            rules: self.rules.clone(),
        }
    }
}

impl<S: fmt::Debug, R> fmt::Debug for RateLimit<S, R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
