use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};
use watertight_core::{BoxError, QuotaStatus};

use super::question::{Finding, Question, Taken, answered};
use super::{Answer, StoreError};
use crate::call::RateLimitCall;

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

    /// Refuses a call whose deadline has come before the answer of the store. What that says is waited
    /// for behind it, so that what it takes is given back.
    #[cold]
    pub(super) fn refuse_at_deadline<A, E>(&mut self, asking: A) -> BoxError
    where
        A: Future<Output = Result<Answer, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let core = self.call.as_ref().and_then(RateLimitCall::core);
        let Some(core) = core.map(Arc::clone) else {
            unreachable!("a call that waits is looked at");
        };
        if let Some(call) = self.call.take() {
            call.forget();
        }
        let question = self.question;
        let limits = core.limits.load();
        let time = limits.store.timeout;
        question.give_total_back(&limits);
        let behind = Arc::clone(&core);
        core.behind(async move {
            match answered(timeout(time, asking).await) {
                Ok(answer) if answer.decision.admitted => {
                    let limits = behind.limits.load();
                    question.give_own_back(&behind, &limits, Taken::by(&answer));
                }
                Ok(_) => {}
                Err(error) => behind.store_failed(&error),
            }
        });
        core.refuse_at_deadline()
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
