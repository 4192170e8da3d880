use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Name, QuotaStatus};

use crate::config::AnyConfig;
use crate::decision::Meter;
use crate::leaky::Turn;
use crate::machine::{Machine, Plant};
use crate::policy::Policy;
use crate::store::{Act, Order, Share, StoreConfig};
use crate::{Decision, MissingKey, Quotas, Status};

/// The limits in force, which are replaced as a whole.
#[derive(Debug)]
pub(crate) struct Limits {
    /// That of the calls without a plan, and then those of the plans.
    policies: Vec<Arc<Policy>>,
    /// Where in `policies` the plans are.
    plans: BTreeMap<String, usize>,
    total: Option<Arc<Policy>>,
    /// How many keys were forgotten that are not counted by the policies any more.
    evicted_before: u64,
    pub(crate) missing_key: MissingKey,
    pub(crate) announce: bool,
    /// How a layer with a store gets on with it.
    pub(crate) store: StoreConfig,
}

/// What a call asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    /// Where the plan is, 0 for none.
    pub(crate) plan: usize,
    pub(crate) key: Option<Key>,
    pub(crate) cost: u64,
}

impl Ask {
    /// Nothing, of what all calls without a key and a plan share.
    pub(crate) const ALL: Self = Self {
        plan: 0,
        key: None,
        cost: 0,
    };
}

/// What the limits say of a call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Verdict {
    pub(crate) decision: Decision,
    pub(crate) policy: Name,
}

impl Verdict {
    /// Returns how the limit stands, by its name.
    pub(crate) const fn quota(&self) -> QuotaStatus {
        self.decision.status.named(self.policy)
    }
}

impl Limits {
    /// Makes the limits of a valid config, in place of others if there are any.
    ///
    /// The machines of the quotas grant a `share` of them; that of the total grants all of it. What
    /// has not changed stays as it is. A plan keeps its place for good, so that calls in flight
    /// still find it.
    pub(crate) fn new(
        name: Name,
        config: &AnyConfig,
        share: Share,
        before: Option<&Self>,
        now: Instant,
    ) -> Self {
        let plant = Plant::new(config, share);
        let policy = |name: String, quotas: &Quotas, plant: &Plant, old: Option<&Arc<Policy>>| {
            Policy::in_place_of(old, &name, quotas, plant, now)
        };
        let old_one = |place: usize| before.and_then(|before| before.policies.get(place));

        let mut plans = before.map_or_else(BTreeMap::new, |before| before.plans.clone());
        let own = policy(name.as_str().into(), &config.quotas, &plant, old_one(0));
        let mut policies = vec![own; plans.len() + 1];
        for (plan, quotas) in &config.plans {
            let next = plans.len() + 1;
            let place = *plans.entry(plan.clone()).or_insert(next);
            let made = policy(format!("{name}/{plan}"), quotas, &plant, old_one(place));
            if place < policies.len() {
                policies[place] = made;
            } else {
                policies.push(made);
            }
        }
        let total = config.total.as_ref().map(|quotas| {
            let old = before.and_then(|before| before.total.as_ref());
            policy(format!("{name}/total"), quotas, &plant.of_total(), old)
        });
        let mut limits = Self {
            policies,
            plans,
            total,
            evicted_before: 0,
            missing_key: config.missing_key,
            announce: config.announce,
            store: config.store,
        };
        if let Some(all) = before.and_then(Self::evicted) {
            limits.evicted_before = all.saturating_sub(limits.evicted().unwrap_or(0));
        }
        limits
    }

    /// Returns where a plan is.
    pub(crate) fn plan(&self, name: &str) -> Option<usize> {
        self.plans.get(name).copied()
    }

    /// Takes what a call costs, if it is there.
    pub(crate) fn take(&self, ask: Ask, now: Instant) -> Verdict {
        self.arrive(ask, now, || Duration::ZERO).0
    }

    /// Does as [`arrive`](Self::arrive), and says nothing of how the limits stand when a call has
    /// been let in.
    #[inline]
    pub(crate) fn enter(
        &self,
        ask: Ask,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> Result<Option<Turn>, Verdict> {
        let policy = self.policy(ask.plan);
        if self.total.is_none() {
            let entered = policy.machine.enter(ask.key, ask.cost, now, patience);
            return entered.map_err(|refused| policy.verdict(refused));
        }
        let (verdict, turn) = self.arrive(ask, now, patience);
        if verdict.decision.admitted {
            Ok(turn)
        } else {
            Err(verdict)
        }
    }

    /// Takes what a call costs, now or with a turn for which it waits no longer than `patience`.
    #[inline]
    pub(crate) fn arrive(
        &self,
        ask: Ask,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> (Verdict, Option<Turn>) {
        let policy = self.policy(ask.plan);
        let (own, turn) = policy.machine.arrive(ask.key, ask.cost, now, patience);
        let verdict = policy.verdict(own);
        match &self.total {
            Some(total) if own.admitted => {
                let of_all = total.machine.take(None, ask.cost, now);
                if of_all.admitted {
                    (tighter(verdict, total.verdict(of_all)), turn)
                } else {
                    policy.machine.leave(ask.key, ask.cost, turn.as_ref(), now);
                    (total.verdict(of_all), None)
                }
            }
            // It may be the total that takes longer.
            Some(total) => {
                let of_all = total.machine.peek(None, ask.cost, now);
                (tighter(verdict, total.verdict(of_all)), None)
            }
            None => (verdict, turn),
        }
    }

    /// Returns what a store is to be told that keeps the quotas of who asks.
    pub(crate) fn order(&self, ask: Ask, act: Act, patience: Duration) -> Order<'_> {
        self.policy(ask.plan).order(ask.key, act, patience)
    }

    /// Returns what a store's decision says.
    pub(crate) fn verdict_of(&self, ask: Ask, decision: Decision) -> Verdict {
        self.policy(ask.plan).verdict(decision)
    }

    /// Takes what a call costs of the total, if there is one.
    pub(crate) fn take_of_total(&self, ask: Ask, now: impl FnOnce() -> Instant) -> Option<Verdict> {
        let total = self.total.as_ref()?;
        Some(total.verdict(total.machine.take(None, ask.cost, now())))
    }

    /// Says how the total stands, if there is one.
    pub(crate) fn peek_at_total(&self, now: Instant) -> Option<Verdict> {
        let total = self.total.as_ref()?;
        Some(total.verdict(total.machine.peek(None, 0, now)))
    }

    /// Gives back what a call has taken of the total.
    pub(crate) fn give_total_back(&self, ask: Ask, now: Instant) {
        if let Some(total) = &self.total {
            total.machine.give_back(None, ask.cost, now);
        }
    }

    /// Takes what a call costs, now or with a turn, and nothing of the total.
    pub(crate) fn arrive_at_own(
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
    pub(crate) fn leave_own(&self, ask: Ask, turn: Option<&Turn>, now: Instant) {
        self.policy(ask.plan)
            .machine
            .leave(ask.key, ask.cost, turn, now);
    }

    /// Gives back what a call has taken that has waited for its turn, and was not made.
    pub(crate) fn leave(&self, ask: Ask, turn: &Turn, now: Instant) {
        let policy = self.policy(ask.plan);
        policy.machine.leave(ask.key, ask.cost, Some(turn), now);
        self.give_total_back(ask, now);
    }

    /// Takes what there is, up to the cost.
    pub(crate) fn take_up_to(&self, ask: Ask, now: Instant) -> (u64, Verdict) {
        let policy = self.policy(ask.plan);
        let (taken, own) = policy.machine.take_up_to(ask.key, ask.cost, now);
        match &self.total {
            Some(total) if taken > 0 => {
                let (taken_of_all, of_all) = total.machine.take_up_to(None, taken, now);
                let more = taken - taken_of_all;
                policy.machine.give_back(ask.key, more, now);
                (
                    taken_of_all,
                    tighter(policy.verdict(own), total.verdict(of_all)),
                )
            }
            _ => (taken, policy.verdict(own)),
        }
    }

    /// Says what would become of a call.
    pub(crate) fn peek(&self, ask: Ask, now: Instant) -> Verdict {
        let policy = self.policy(ask.plan);
        let own = policy.verdict(policy.machine.peek(ask.key, ask.cost, now));
        match &self.total {
            Some(total) => tighter(own, total.verdict(total.machine.peek(None, ask.cost, now))),
            None => own,
        }
    }

    /// Says whether a call without a deadline would have a turn.
    pub(crate) fn has_turn(&self, ask: Ask, now: Instant) -> bool {
        let may_wait = matches!(self.policy(ask.plan).machine, Machine::LeakyBucket(_));
        may_wait && self.peek(ask, now).decision.admitted
    }

    /// Gives back what was taken for nothing.
    pub(crate) fn give_back(&self, ask: Ask, now: Instant) {
        self.policy(ask.plan)
            .machine
            .give_back(ask.key, ask.cost, now);
        self.give_total_back(ask, now);
    }

    /// Takes a penalty of who asks. It is none of the others' fault, and the total stays as it is.
    #[cold]
    pub(crate) fn charge(&self, ask: Ask, now: Instant) {
        self.policy(ask.plan).machine.charge(ask.key, ask.cost, now);
    }

    /// Returns how the limit of who asks stands, whatever the total has left.
    pub(crate) fn own(&self, ask: Ask, now: Instant) -> Status {
        self.policy(ask.plan).machine.peek(ask.key, 0, now).status
    }

    /// Returns how the limit of all keys together stands.
    pub(crate) fn total(&self, now: Instant) -> Option<Status> {
        let verdict = self.peek_at_total(now)?;
        Some(verdict.decision.status)
    }

    /// Returns how many keys there are of which something is known. `None` if there are no keys.
    pub(crate) fn keys(&self, now: Instant) -> Option<usize> {
        let keys = self
            .in_force()
            .filter_map(|policy| policy.machine.keys(now));
        keys.reduce(|sum, more| sum + more)
    }

    /// Returns how many keys were forgotten for want of room. `None` if there are no keys.
    pub(crate) fn evicted(&self) -> Option<u64> {
        let evicted = self
            .in_force()
            .filter_map(|policy| policy.machine.evicted());
        let evicted = evicted.reduce(|sum, more| sum + more);
        match self.evicted_before {
            0 => evicted,
            before => Some(before + evicted.unwrap_or(0)),
        }
    }

    /// Returns the policy of a plan. One that is no more is served like calls without a plan.
    #[inline]
    fn policy(&self, plan: usize) -> &Policy {
        self.policies.get(plan).unwrap_or(&self.policies[0])
    }

    /// Returns each policy once.
    fn in_force(&self) -> impl Iterator<Item = &Arc<Policy>> {
        let own = &self.policies[0];
        let plans = self.policies[1..].iter();
        [own]
            .into_iter()
            .chain(plans.filter(|policy| !Arc::ptr_eq(policy, own)))
    }
}

/// Returns the verdict that stands if both have to be met.
pub(crate) fn tighter(own: Verdict, of_all: Verdict) -> Verdict {
    if of_all.decision.is_stricter_than(&own.decision) {
        of_all
    } else {
        own
    }
}
