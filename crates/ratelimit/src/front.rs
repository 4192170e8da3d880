use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{BoxError, Context, KeyBy, Mode, QuotaStatus, Reason, Tracked};

use crate::call::RateLimitCall;
use crate::leaky::Turn;
use crate::limits::Limits;
use crate::noting::Noting;
use crate::shared::Shared;
use crate::verdict::{Ask, Verdict};
use crate::{Demand, MissingKey, Penalty, Rules};

/// What decides on the calls of a service.
#[derive(Clone, Debug)]
pub(crate) struct Front<R> {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rules: R,
}

/// A call that may be made.
pub(crate) struct Passed<P, W> {
    pub(crate) call: RateLimitCall<P>,
    /// What its answer says of the limit.
    pub(crate) quota: Option<QuotaStatus>,
    /// What it has to wait for, if its turn has not come.
    pub(crate) wait: Option<W>,
}

impl<P, W> Passed<P, W> {
    const fn at_once(call: RateLimitCall<P>) -> Self {
        Self {
            call,
            quota: None,
            wait: None,
        }
    }
}

/// A call that is made.
pub(crate) type Called<F, C, N, P, T> = Tracked<F, RateLimitCall<P>, C, Noting<N, T>>;

impl<C, N, K, D, P: Clone, T> Front<Rules<C, N, K, D, P, T>> {
    /// Decides on a call of `request`. `is_heard` says whether answers can tell how the limit stands,
    /// and `wait` what a call waits for that has this turn.
    #[inline(always)]
    pub(crate) fn admit<Req, W>(
        &self,
        request: &Req,
        is_heard: bool,
        wait: impl FnOnce(&Limits, Ask, Turn, Instant) -> Option<W>,
    ) -> Result<Passed<P, W>, BoxError>
    where
        K: KeyBy<Req>,
        D: Demand<Req>,
    {
        let core = &self.shared.core;
        let mode = core.mode();
        if mode == Mode::Off {
            return Ok(Passed::at_once(self.unwatched()));
        }
        let limits = core.limits.load();
        let Some(ask) = self.ask(&limits, mode, request)? else {
            return Ok(Passed::at_once(self.unwatched()));
        };
        let now = Instant::now();
        if is_heard && limits.announce && mode == Mode::Enforce {
            return self.admit_aloud(&limits, ask, now, wait);
        }
        let turn = match limits.enter(ask, now, || patience(now)) {
            Ok(turn) => turn.filter(|turn| !turn.wait.is_zero()),
            Err(verdict) => {
                self.found_none(&limits, mode, ask, &verdict, now)?;
                return Ok(Passed::at_once(self.unwatched()));
            }
        };
        if turn.is_some() && mode == Mode::Shadow {
            core.refuse_in_shadow(Reason::RateLimited);
            return Ok(Passed::at_once(self.unwatched()));
        }
        Ok(Passed {
            call: self.watched(ask),
            quota: None,
            wait: turn.and_then(|turn| wait(&limits, ask, turn, now)),
        })
    }

    /// Decides on a call whose answer tells how the limit stands.
    fn admit_aloud<W>(
        &self,
        limits: &Limits,
        ask: Ask,
        now: Instant,
        wait: impl FnOnce(&Limits, Ask, Turn, Instant) -> Option<W>,
    ) -> Result<Passed<P, W>, BoxError> {
        let (verdict, turn) = limits.arrive(ask, now, || patience(now));
        if !verdict.decision.admitted {
            self.found_none(limits, Mode::Enforce, ask, &verdict, now)?;
            return Ok(Passed::at_once(self.unwatched()));
        }
        let turn = turn.filter(|turn| !turn.wait.is_zero());
        Ok(Passed {
            call: self.watched(ask),
            quota: Some(verdict.quota()),
            wait: turn.and_then(|turn| wait(limits, ask, turn, now)),
        })
    }

    /// Returns what a call of `request` asks for, `None` if it passes without.
    #[inline(always)]
    pub(crate) fn ask<Req>(
        &self,
        limits: &Limits,
        mode: Mode,
        request: &Req,
    ) -> Result<Option<Ask>, BoxError>
    where
        K: KeyBy<Req>,
        D: Demand<Req>,
    {
        let mut key = None;
        if K::KEYED {
            key = self.rules.key.key(request);
            if key.is_none() && limits.missing_key != MissingKey::Share {
                self.without_key(limits, mode)?;
                return Ok(None);
            }
        }
        let demand = &self.rules.demand;
        let plan = demand.plan(request);
        let plan = plan.and_then(|name| limits.plan(name.as_ref()));
        Ok(Some(Ask {
            plan: plan.unwrap_or_default(),
            key,
            cost: demand.cost(request),
        }))
    }

    #[cold]
    fn without_key(&self, limits: &Limits, mode: Mode) -> Result<(), BoxError> {
        let core = &self.shared.core;
        if limits.missing_key == MissingKey::Allow {
            return Ok(());
        }
        if mode == Mode::Shadow {
            core.refuse_in_shadow(Reason::KeyMissing);
            return Ok(());
        }
        Err(core.refuse_without_key())
    }

    /// Says what becomes of a call for which there is not enough, or not yet.
    #[cold]
    fn found_none(
        &self,
        limits: &Limits,
        mode: Mode,
        ask: Ask,
        verdict: &Verdict,
        now: Instant,
    ) -> Result<(), BoxError> {
        let core = &self.shared.core;
        let is_too_late = limits.has_turn(ask, now) && patience(now) < Duration::MAX;
        match (mode, is_too_late) {
            (Mode::Shadow, true) => core.refuse_in_shadow(Reason::DeadlineExceeded),
            (Mode::Shadow, false) => core.refuse_in_shadow(Reason::RateLimited),
            (_, true) => return Err(core.refuse_too_late(verdict)),
            (_, false) => return Err(core.refuse(verdict)),
        }
        Ok(())
    }

    /// Returns the call that asks so.
    #[inline]
    pub(crate) fn watched(&self, ask: Ask) -> RateLimitCall<P> {
        let way = Arc::clone(self.shared.stripes.mine());
        RateLimitCall::new(way, ask, self.rules.penalty.clone())
    }

    /// Returns a call that the limit does not look at.
    pub(crate) fn unwatched(&self) -> RateLimitCall<P> {
        RateLimitCall::unwatched(self.rules.penalty.clone())
    }
}

impl<C: Clone, N: Clone, K, D, P: Penalty, T: Clone> Front<Rules<C, N, K, D, P, T>> {
    /// Makes a call by `start`.
    #[inline]
    pub(crate) fn make<F>(
        &self,
        call: RateLimitCall<P>,
        quota: Option<QuotaStatus>,
        start: impl FnOnce() -> F,
    ) -> Called<F, C, N, P, T> {
        let (classify, finish) = self.of_answers(quota);
        Tracked::new(call, classify, finish, start)
    }

    /// Returns what is needed once the request is gone.
    #[inline]
    pub(crate) fn of_answers(&self, quota: Option<QuotaStatus>) -> (C, Noting<N, T>) {
        let rules = &self.rules;
        let finish = Noting::new(rules.finish.clone(), rules.notes.clone(), quota);
        (rules.classify.clone(), finish)
    }
}

/// Returns how long a call can wait: until its deadline.
fn patience(now: Instant) -> Duration {
    deadline().map_or(Duration::MAX, |at| at.saturating_duration_since(now))
}

/// Returns when the call has to be over, if it has to be.
pub(crate) fn deadline() -> Option<Instant> {
    Context::with(|context| context.and_then(|context| context.deadline))
}
