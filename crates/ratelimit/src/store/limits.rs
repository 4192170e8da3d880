use std::time::Duration;

use tokio::time::Instant;

use super::{Act, Order};
use crate::Decision;
use crate::leaky::Turn;
use crate::limits::Limits;
use crate::verdict::{Ask, Verdict};

/// What a layer asks its limits whose quotas are kept in a store: the total is asked first, and the
/// machines of the quotas only when the store has failed.
impl Limits {
    /// Returns what a store is to be told that keeps the quotas of who asks.
    pub(crate) fn order(&self, ask: Ask, act: Act, patience: Duration) -> Order<'_> {
        let timeout = self.store.timeout;
        self.policy(ask.plan).order(ask.key, act, patience, timeout)
    }

    /// Returns what a store's decision says.
    pub(super) fn verdict_of(&self, ask: Ask, decision: Decision) -> Verdict {
        self.policy(ask.plan).verdict(decision)
    }

    /// Takes what a call costs, now or with a turn, and nothing of the total.
    pub(super) fn arrive_at_own(
        &self,
        ask: Ask,
        now: Instant,
        patience: Duration,
    ) -> (Verdict, Option<Turn>) {
        let policy = self.policy(ask.plan);
        let (own, turn) = policy.machine.arrive(ask.key, ask.cost, now, || patience);
        (policy.verdict(own), turn)
    }

    /// Gives back what a call has taken that is not made, and nothing of the total.
    pub(super) fn leave_own(&self, ask: Ask, turn: Option<&Turn>, now: Instant) {
        self.policy(ask.plan)
            .machine
            .leave(ask.key, ask.cost, turn, now);
    }
}
