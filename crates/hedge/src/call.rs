use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{BudgetCall, Failure, FailureKind, Outcome};

use crate::counts::Count;
use crate::machine::Way;
use crate::plan::Plan;

/// What is said of an attempt that is hedged: it is as if it had timed out.
pub(crate) const LATE: Failure = Failure::new(FailureKind::Timeout);

/// Which attempt of a call it is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Attempt {
    /// The first.
    Primary,
    Hedge,
}

/// One call, with all its attempts. It reports how it ends, and gives back what it holds.
pub(crate) struct HedgeCall {
    budget: BudgetCall<Way>,
    /// When the first attempt began, where calls are timed and its time is not recorded yet.
    started: Option<Instant>,
    /// After what time a hedge is sent, where that is known.
    pub(crate) delay: Option<Duration>,
    /// Whether code of others runs for it now. If it is dropped then, that has panicked.
    pub(crate) inside: bool,
    ended: bool,
}

impl HedgeCall {
    /// Begins a call, whose first attempt is about to be made.
    #[inline]
    pub(crate) fn begin(way: Way, plan: Plan) -> Self {
        Self {
            budget: BudgetCall::new(way),
            started: plan.is_timed().then(Instant::now),
            delay: plan.delay(),
            inside: true,
            ended: false,
        }
    }

    pub(crate) fn way(&self) -> &Way {
        self.budget.way()
    }

    /// When the first attempt began, if that is known.
    pub(crate) const fn started(&self) -> Option<Instant> {
        self.started
    }

    /// Finds out after what time the first hedge is sent.
    pub(crate) fn ask(&mut self, plan: Plan) -> Option<Duration> {
        if plan.is_asked() {
            self.delay = self.way().delay();
        }
        self.delay
    }

    /// Pays for a hedge. Returns false if there is no budget for it.
    pub(crate) fn pays(&mut self) -> bool {
        let paid = self.budget.withdraw(&LATE, Instant::now) && self.budget.is_still_allowed();
        if !paid {
            self.gives_back();
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
    pub(crate) fn end(mut self, outcome: &Outcome) {
        if !outcome.is_failure() {
            self.record();
        }
        self.pay_back(outcome);
        self.count(outcome);
    }

    /// Ends a hedged call by the answer of an attempt.
    pub(crate) fn won(mut self, attempt: Attempt, outcome: &Outcome) {
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
    pub(crate) fn lost(mut self, outcome: &Outcome) {
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
        if let Some(started) = self.started {
            let now = Instant::now();
            self.way()
                .record(now.saturating_duration_since(started), now);
        }
    }

    /// Records how long the first attempt has lasted, of which no more will be known.
    fn record_at_least(&mut self) {
        if let (Some(started), Some(delay)) = (self.started.take(), self.delay) {
            let now = Instant::now();
            let took = now.saturating_duration_since(started);
            self.way().record_at_least(took, delay, now);
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

impl fmt::Debug for HedgeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HedgeCall").finish_non_exhaustive()
    }
}
