use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{BoxError, QuotaStatus, Reason};

use super::{Act, Answer, OnStoreFailure, StoreError};
use crate::call::RateLimitCall;
use crate::leaky::Turn;
use crate::limits::{Ask, Limits, Verdict, tighter};
use crate::way::Core;

/// What becomes of a call by what the store says, in whatever mode.
#[derive(Debug)]
pub(super) enum Finding {
    /// It may be made when it has waited for so long.
    Passes {
        wait: Duration,
        /// How the limit stands, if that is known.
        verdict: Option<Verdict>,
        taken: Taken,
    },
    /// There is not as much left as it costs.
    Limited(Verdict),
    /// Its turn would begin after its deadline.
    TooLate(Verdict),
    /// The store has failed, and that is what is to become of it then.
    NotReady,
}

/// What a call has taken besides its share of the total, and how it is given back if the call is not
/// made.
#[derive(Clone, Copy, Debug)]
pub(super) enum Taken {
    /// Nothing, or the store has not said.
    Nothing,
    /// Of the store: a turn, if it has to wait for one.
    OfStore(Option<u64>),
    /// Of this process.
    Locally(Option<Turn>),
}

/// A question to the store whether a call may be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) ask: Ask,
    /// How long the call can wait for its turn.
    pub(super) patience: Duration,
    /// Whether it has taken its cost of the total.
    pub(super) has_total: bool,
}

impl Question {
    /// Returns what becomes of the call. Of one that is not to be made, nothing is kept.
    pub(super) fn settle(&self, core: &Core, answer: Result<Answer, StoreError>) -> Finding {
        let limits = core.limits.load();
        let finding = match answer {
            Ok(answer) => self.by_answer(&limits, answer),
            Err(error) => {
                core.store_failed(&error);
                self.by_failure(&limits)
            }
        };
        if !matches!(finding, Finding::Passes { .. }) {
            self.give_total_back(&limits);
        }
        finding
    }

    fn by_answer(&self, limits: &Limits, answer: Answer) -> Finding {
        let verdict = limits.verdict_of(self.ask, answer.decision);
        if answer.decision.admitted {
            let is_turn = !answer.wait.is_zero();
            return Finding::Passes {
                wait: answer.wait,
                verdict: Some(self.tighter(limits, verdict)),
                taken: Taken::OfStore(is_turn.then_some(answer.turn)),
            };
        }
        // Without a deadline there would have been a turn.
        let is_too_late = answer.wait > self.patience;
        if is_too_late {
            return Finding::TooLate(verdict);
        }
        Finding::Limited(verdict)
    }

    #[cold]
    fn by_failure(&self, limits: &Limits) -> Finding {
        match limits.store.on_failure {
            OnStoreFailure::Allow => Finding::Passes {
                wait: Duration::ZERO,
                verdict: None,
                taken: Taken::Nothing,
            },
            OnStoreFailure::Refuse => Finding::NotReady,
            OnStoreFailure::Local(_) => self.locally(limits),
        }
    }

    fn locally(&self, limits: &Limits) -> Finding {
        let now = Instant::now();
        let (verdict, turn) = limits.arrive_at_own(self.ask, now, self.patience);
        if verdict.decision.admitted {
            return Finding::Passes {
                wait: turn.map_or(Duration::ZERO, |turn| turn.wait),
                verdict: Some(self.tighter(limits, verdict)),
                taken: Taken::Locally(turn),
            };
        }
        if self.patience < Duration::MAX && limits.has_turn(self.ask, now) {
            return Finding::TooLate(verdict);
        }
        Finding::Limited(verdict)
    }

    fn tighter(&self, limits: &Limits, verdict: Verdict) -> Verdict {
        let of_total = self.has_total.then(|| limits.peek_at_total(Instant::now()));
        match of_total.flatten() {
            Some(of_total) => tighter(verdict, of_total),
            None => verdict,
        }
    }

    fn give_total_back(&self, limits: &Limits) {
        if self.has_total {
            limits.give_total_back(self.ask, Instant::now());
        }
    }

    /// Gives back what a call has taken that is not made.
    fn give_back(&self, core: &Arc<Core>, taken: Taken) {
        let limits = core.limits.load();
        self.give_total_back(&limits);
        let cost = self.ask.cost;
        match taken {
            Taken::Nothing => {}
            Taken::OfStore(None) => core.tell_store(self.ask, Act::GiveBack(cost)),
            Taken::OfStore(Some(turn)) => core.tell_store(self.ask, Act::Leave { cost, turn }),
            Taken::Locally(turn) => limits.leave_own(self.ask, turn.as_ref(), Instant::now()),
        }
    }
}

/// A call that the store has been asked about. Dropped before it is made, it gives back what is known
/// to be taken.
///
/// What the store has not answered, it may have taken or not: to give that back could be to give what
/// was never taken, so it stays.
#[derive(Debug)]
pub(super) struct Inquiry<P> {
    /// `None` once it is made, or is not to be.
    pub(super) call: Option<RateLimitCall<P>>,
    pub(super) question: Question,
    taken: Taken,
    /// Since when it waits for its turn.
    waits_since: Option<Instant>,
}

impl<P> Inquiry<P> {
    pub(super) const fn new(call: RateLimitCall<P>, question: Question) -> Self {
        Self {
            call: Some(call),
            question,
            taken: Taken::Nothing,
            waits_since: None,
        }
    }

    /// Takes note of the answer, and returns how long the call has to wait for its turn and what its
    /// own answer says of the limit.
    ///
    /// # Errors
    ///
    /// If the call is not to be made: with the refusal.
    pub(super) fn settle(
        &mut self,
        answer: Result<Answer, StoreError>,
    ) -> Result<(Duration, Option<QuotaStatus>), BoxError> {
        let Some(core) = self.call.as_ref().and_then(RateLimitCall::core) else {
            return Ok((Duration::ZERO, None));
        };
        let refusal = match self.question.settle(core, answer) {
            Finding::Passes {
                wait,
                verdict,
                taken,
            } => {
                self.taken = taken;
                if !wait.is_zero() {
                    core.counts.waits();
                    self.waits_since = Some(Instant::now());
                }
                let said = verdict.filter(|_| core.limits.load().announce);
                return Ok((wait, said.map(|verdict| verdict.quota())));
            }
            Finding::Limited(verdict) => core.refuse(&verdict),
            Finding::TooLate(verdict) => core.refuse_too_late(&verdict),
            Finding::NotReady => core.refuse_for_store(),
        };
        if let Some(call) = self.call.take() {
            call.forget();
        }
        Err(refusal)
    }

    /// Ends the wait for the turn.
    pub(super) fn turn_has_come(&mut self) {
        let core = self.call.as_ref().and_then(RateLimitCall::core);
        if let Some((core, since)) = core.zip(self.waits_since.take()) {
            let now = Instant::now();
            core.counts.waits_no_longer();
            core.counts.waited(now - since, now);
        }
    }
}

impl<P> Drop for Inquiry<P> {
    fn drop(&mut self) {
        if let Some(core) = self.call.as_ref().and_then(RateLimitCall::core) {
            if self.waits_since.is_some() {
                core.counts.waits_no_longer();
            }
            self.question.give_back(core, self.taken);
        }
    }
}

/// Counts a call that would not have been made, or not at once, but for the mode.
pub(super) fn count_in_shadow(core: &Core, finding: &Finding) -> bool {
    let reason = match finding {
        Finding::Passes { wait, .. } if wait.is_zero() => return false,
        Finding::Passes { .. } | Finding::Limited(_) => Reason::RateLimited,
        Finding::TooLate(_) => Reason::DeadlineExceeded,
        Finding::NotReady => Reason::NotReady,
    };
    core.refuse_in_shadow(reason);
    true
}
