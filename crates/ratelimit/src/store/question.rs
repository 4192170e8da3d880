use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tokio::time::error::Elapsed;
use watertight_core::{BoxError, Reason};

use super::{Act, Answer, OnStoreFailure, StoreError};
use crate::leaky::Turn;
use crate::limits::Limits;
use crate::total::Term;
use crate::verdict::{Ask, Verdict};
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

impl Taken {
    /// What a store has taken that lets a call pass.
    pub(super) fn by(answer: &Answer) -> Self {
        let is_turn = !answer.wait.is_zero();
        Self::OfStore(is_turn.then_some(answer.turn))
    }
}

/// A question to the store whether a call may be made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Question {
    pub(super) ask: Ask,
    /// When the call has to be over.
    deadline: Option<Instant>,
    /// How long it could wait for its turn when it came.
    pub(super) patience: Duration,
    /// In which term it has taken its cost of the total, if in any.
    total: Option<Term>,
}

impl Question {
    pub(super) fn new(ask: Ask, deadline: Option<Instant>, total: Option<Term>) -> Self {
        Self {
            ask,
            deadline,
            patience: patience_until(deadline),
            total,
        }
    }

    /// Returns how long the call can wait, of the time that the store may take.
    pub(super) fn time_of(&self, store: Duration) -> Duration {
        store.min(self.patience)
    }

    /// Returns whether the call has no time left.
    pub(super) fn is_overdue(&self) -> bool {
        patience_until(self.deadline).is_zero()
    }

    /// Returns what becomes of the call. Of one that is not to be made, nothing is kept.
    pub(super) fn settle(&self, core: &Arc<Core>, answer: Result<Answer, StoreError>) -> Finding {
        let limits = core.limits.load();
        let finding = match answer {
            Ok(answer) => self.by_answer(core, &limits, answer),
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

    fn by_answer(&self, core: &Arc<Core>, limits: &Limits, answer: Answer) -> Finding {
        let verdict = limits.verdict_of(self.ask, answer.decision);
        if answer.decision.admitted {
            let taken = Taken::by(&answer);
            // The store has given a turn in time, but has taken of that time to say so.
            if answer.wait > Duration::ZERO && answer.wait > patience_until(self.deadline) {
                self.give_own_back(core, limits, taken);
                return Finding::TooLate(verdict);
            }
            return Finding::Passes {
                wait: answer.wait,
                verdict: Some(self.tighter(limits, verdict)),
                taken,
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
        let patience = patience_until(self.deadline);
        let (verdict, turn) = limits.arrive_at_own(self.ask, now, patience);
        if verdict.decision.admitted {
            return Finding::Passes {
                wait: turn.map_or(Duration::ZERO, |turn| turn.wait),
                verdict: Some(self.tighter(limits, verdict)),
                taken: Taken::Locally(turn),
            };
        }
        if self.deadline.is_some() && limits.has_turn(self.ask, now) {
            return Finding::TooLate(verdict);
        }
        Finding::Limited(verdict)
    }

    fn tighter(&self, limits: &Limits, verdict: Verdict) -> Verdict {
        match &limits.total {
            Some(total) if self.total == Some(total.term) => {
                verdict.tighter(total.peek(0, Instant::now()))
            }
            _ => verdict,
        }
    }

    pub(super) fn give_total_back(&self, limits: &Limits) {
        if let Some(term) = self.total {
            limits.give_total_back(self.ask, term, Instant::now());
        }
    }

    /// Gives back what a call has taken that is not made.
    pub(super) fn give_back(&self, core: &Arc<Core>, taken: Taken) {
        let limits = core.limits.load();
        self.give_total_back(&limits);
        self.give_own_back(core, &limits, taken);
    }

    pub(super) fn give_own_back(&self, core: &Arc<Core>, limits: &Limits, taken: Taken) {
        let cost = self.ask.cost;
        match taken {
            Taken::Nothing => {}
            Taken::OfStore(None) => core.tell_store(self.ask, Act::GiveBack(cost)),
            Taken::OfStore(Some(turn)) => core.tell_store(self.ask, Act::Leave { cost, turn }),
            Taken::Locally(turn) => limits.leave_own(self.ask, turn.as_ref(), Instant::now()),
        }
    }
}

/// Returns what a store has said within its time.
pub(super) fn answered<E: Into<BoxError>>(
    answer: Result<Result<Answer, E>, Elapsed>,
) -> Result<Answer, StoreError> {
    match answer {
        Ok(answer) => answer.map_err(StoreError::of),
        Err(_) => Err(StoreError::TimedOut),
    }
}

fn patience_until(deadline: Option<Instant>) -> Duration {
    deadline.map_or(Duration::MAX, |at| {
        at.saturating_duration_since(Instant::now())
    })
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
