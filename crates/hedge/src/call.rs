use std::fmt;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{BudgetCall, Failure, FailureKind, Outcome};

use crate::counts::Count;
use crate::machine::Way;
use crate::plan::Plan;

/// What is said of an attempt that is hedged: it is as if it had timed out.
pub(crate) const LATE: Failure = Failure::new(FailureKind::Timeout);

/// It takes five centuries until then.
const UNTIMED: u64 = u64::MAX;

/// Which attempt of a call it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Attempt {
    /// The first.
    Primary,
    Hedge,
}

/// One call, with all its attempts. It reports how it ends, and gives back what it holds.
///
/// It ends where it is, and is dropped there: to move it would be dear.
pub(crate) struct HedgeCall {
    budget: BudgetCall<Way>,
    /// When the first attempt began, in nanoseconds, or [`UNTIMED`].
    began: u64,
    /// With what a closure has said, where one is asked.
    plan: Plan,
    /// Whether code of others runs for it now. If it is dropped then, that has panicked.
    pub(crate) inside: bool,
    ended: bool,
}

impl HedgeCall {
    /// Begins a call by `start`, which makes its first attempt.
    #[inline]
    pub(crate) fn begin<F>(way: Way, plan: Plan, start: impl FnOnce() -> F) -> (Self, F) {
        let began = if plan.is_timed() && way.pick() {
            way.time(Instant::now())
        } else {
            UNTIMED
        };
        let unwinding = Unwinding(&way);
        let primary = start();
        mem::forget(unwinding);
        let call = Self {
            budget: BudgetCall::new(way),
            began,
            plan,
            inside: false,
            ended: false,
        };
        (call, primary)
    }

    pub(crate) fn way(&self) -> &Way {
        self.budget.way()
    }

    /// When the first attempt began, if that is known.
    pub(crate) fn began(&self) -> Option<Instant> {
        (self.began != UNTIMED).then(|| self.way().at(self.began))?
    }

    /// After what time a hedge is sent, where that is known.
    pub(crate) fn delay(&self) -> Option<Duration> {
        self.plan.delay()
    }

    /// Finds out after what time the first hedge is sent.
    pub(crate) fn ask(&mut self) -> Option<Duration> {
        if self.plan.is_asked() {
            self.plan = self.plan.with_delay(self.way().delay());
        }
        self.delay()
    }

    /// Pays for a hedge. Returns false if there is no budget for it, or none any more: then what was
    /// paid is for the caller to give back.
    pub(crate) fn pays(&mut self) -> bool {
        let paid = self.budget.withdraw(&LATE, Instant::now) && self.budget.is_still_allowed();
        if !paid {
            self.way().counts.refused();
        }
        paid
    }

    /// Gives back what was paid for a hedge that is not sent, or not yet.
    pub(crate) fn gives_back(&mut self) {
        self.budget.give_back();
    }

    /// Counts a hedge that goes out now.
    pub(crate) fn hedged(&mut self, count: Count) {
        self.budget.sent();
        self.way().counts.add(count);
    }

    /// Takes note that an attempt has failed and the call goes on.
    pub(crate) fn attempt_failed(&mut self, attempt: Attempt, outcome: &Outcome) {
        self.pay_back(outcome);
        match attempt {
            Attempt::Primary => self.record_at_least(),
            Attempt::Hedge => self.budget.extra_ended(),
        }
    }

    /// Ends a call that has sent no hedge by the answer of its first attempt.
    #[inline]
    pub(crate) fn end(&mut self, outcome: &Outcome) {
        if !outcome.is_failure() {
            self.record();
        }
        self.pay_back(outcome);
        self.count(outcome);
    }

    /// Ends a hedged call by the answer of an attempt.
    pub(crate) fn won(&mut self, attempt: Attempt, outcome: &Outcome) {
        match attempt {
            Attempt::Primary if !outcome.is_failure() => self.record(),
            Attempt::Primary | Attempt::Hedge => self.record_at_least(),
        }
        self.pay_back(outcome);
        self.way().counts.add(match attempt {
            Attempt::Primary => Count::WonByPrimary,
            Attempt::Hedge => Count::WonByHedge,
        });
        self.count(outcome);
    }

    /// Ends a hedged call in which all attempts have failed, by the answer of the first.
    pub(crate) fn lost(&mut self, outcome: &Outcome) {
        self.way().counts.add(Count::WonByPrimary);
        self.count(outcome);
    }

    /// Tells the budget of an answer.
    #[inline]
    fn pay_back(&mut self, outcome: &Outcome) {
        match outcome {
            Outcome::Failure(failure) => self.budget.failed(failure),
            Outcome::Success | Outcome::Ignored => self.budget.succeeded(),
        }
    }

    fn count(&mut self, outcome: &Outcome) {
        self.ended = true;
        self.way().counts.add(match outcome {
            Outcome::Success => Count::Success,
            Outcome::Failure(_) => Count::Failure,
            Outcome::Ignored => Count::Ignored,
        });
    }

    /// Records how long the first attempt took.
    #[inline]
    fn record(&mut self) {
        if self.began != UNTIMED {
            self.way().record(self.began, Instant::now());
        }
    }

    /// Records how long the first attempt has lasted, of which no more will be known.
    fn record_at_least(&mut self) {
        let began = mem::replace(&mut self.began, UNTIMED);
        if let Some(delay) = self.delay().filter(|_| began != UNTIMED) {
            self.way().record_at_least(began, delay, Instant::now());
        }
    }

    #[cold]
    fn was_dropped(&mut self) {
        if self.inside {
            self.budget.failed(&Failure::new(FailureKind::Other));
            self.way().counts.add(Count::Failure);
        } else {
            self.record_at_least();
            self.way().counts.add(Count::Cancelled);
        }
    }
}

impl Drop for HedgeCall {
    #[inline]
    fn drop(&mut self) {
        if !self.ended {
            self.was_dropped();
        }
    }
}

/// Dropped only when the first attempt cannot be made for a panic.
struct Unwinding<'a>(&'a Way);

impl Drop for Unwinding<'_> {
    #[cold]
    fn drop(&mut self) {
        let mut budget = BudgetCall::new(Way(Arc::clone(&self.0.0)));
        budget.failed(&Failure::new(FailureKind::Other));
        self.0.counts.add(Count::Failure);
    }
}

impl fmt::Debug for HedgeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeCall").finish_non_exhaustive()
    }
}
