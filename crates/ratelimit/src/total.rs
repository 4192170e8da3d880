use std::sync::Arc;

use tokio::time::Instant;

use crate::Quotas;
use crate::decision::Meter;
use crate::machine::Plant;
use crate::policy::Policy;
use crate::verdict::Verdict;

/// What the calls of all keys and plans are limited by together.
#[derive(Debug)]
pub(crate) struct Total {
    policy: Arc<Policy>,
    pub(crate) term: Term,
}

/// How long a total is one and the same: through changes of its quotas, until there is none.
///
/// What a call has taken in one term is not given back in another.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Term(u64);

impl Term {
    /// Returns the one after this.
    pub(crate) const fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl Total {
    /// Makes the total of this name, in place of an `old` one, or else in a `term` of its own.
    pub(crate) fn in_place_of(
        old: Option<&Self>,
        name: &str,
        quotas: &Quotas,
        plant: &Plant,
        term: Term,
        now: Instant,
    ) -> Self {
        let policy = old.map(|old| &old.policy);
        Self {
            policy: Policy::in_place_of(policy, name, quotas, plant, now),
            term: old.map_or(term, |old| old.term),
        }
    }

    pub(crate) fn take(&self, cost: u64, now: Instant) -> Verdict {
        let decision = self.policy.machine.take(None, cost, now);
        self.policy.verdict(decision)
    }

    pub(crate) fn take_up_to(&self, most: u64, now: Instant) -> (u64, Verdict) {
        let (taken, decision) = self.policy.machine.take_up_to(None, most, now);
        (taken, self.policy.verdict(decision))
    }

    pub(crate) fn peek(&self, cost: u64, now: Instant) -> Verdict {
        let decision = self.policy.machine.peek(None, cost, now);
        self.policy.verdict(decision)
    }

    pub(crate) fn give_back(&self, cost: u64, now: Instant) {
        self.policy.machine.give_back(None, cost, now);
    }
}
