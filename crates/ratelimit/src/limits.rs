use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Name};

use crate::config::AnyConfig;
use crate::decision::Meter;
use crate::leaky::{Place, Turn};
use crate::machine::{Machine, Plant};
use crate::policy::Policy;
use crate::store::{Share, StoreConfig};
use crate::total::{Term, Total};
use crate::verdict::{Ask, Verdict};
use crate::{MissingKey, Quotas, Status};

/// The limits in force, which are replaced as a whole.
#[derive(Debug)]
pub(crate) struct Limits {
    /// That of the calls without a plan, and then those of the plans.
    policies: Vec<Arc<Policy>>,
    /// Where in `policies` the plans are.
    plans: BTreeMap<String, usize>,
    pub(crate) total: Option<Total>,
    /// That of a total which begins with these limits.
    term: Term,
    /// How many keys were forgotten that are not counted by the policies any more.
    evicted_before: u64,
    pub(crate) missing_key: MissingKey,
    pub(crate) announce: bool,
    /// How a layer with a store gets on with it.
    pub(crate) store: StoreConfig,
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
        let policy = |name: String, quotas: &Quotas, old: Option<&Arc<Policy>>| {
            Policy::in_place_of(old, &name, quotas, &plant, now)
        };
        let old_one = |place: usize| before.and_then(|before| before.policies.get(place));

        let mut plans = before.map_or_else(BTreeMap::new, |before| before.plans.clone());
        let own = policy(name.as_str().into(), &config.quotas, old_one(0));
        let mut policies = vec![own; plans.len() + 1];
        for (plan, quotas) in &config.plans {
            let next = plans.len() + 1;
            let place = *plans.entry(plan.clone()).or_insert(next);
            let made = policy(format!("{name}/{plan}"), quotas, old_one(place));
            if place < policies.len() {
                policies[place] = made;
            } else {
                policies.push(made);
            }
        }
        let term = before.map_or_else(Term::default, |before| before.term.next());
        let total = config.total.as_ref().map(|quotas| {
            let old = before.and_then(|before| before.total.as_ref());
            let (name, plant) = (format!("{name}/total"), plant.of_total());
            Total::in_place_of(old, &name, quotas, &plant, term, now)
        });
        let mut limits = Self {
            policies,
            plans,
            total,
            term,
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

    /// Makes room for keys, so that no call has to.
    pub(crate) fn make_room(&self) {
        self.in_force()
            .for_each(|policy| policy.machine.make_room());
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
    #[inline(always)]
    pub(crate) fn enter(
        &self,
        ask: Ask,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> Result<Option<Turn>, Verdict> {
        if self.total.is_some() {
            return self.enter_all(ask.plan, ask.key, ask.cost, now, patience);
        }
        let policy = self.policy(ask.plan);
        let entered = policy.machine.enter(ask.key, ask.cost, now, patience);
        entered.map_err(|refused| policy.verdict(refused))
    }

    /// Does as [`enter`](Self::enter) where there is a total. It is handed the parts of an [`Ask`],
    /// which would go through memory for all calls.
    #[inline(never)]
    fn enter_all(
        &self,
        plan: usize,
        key: Option<Key>,
        cost: u64,
        now: Instant,
        patience: impl FnOnce() -> Duration,
    ) -> Result<Option<Turn>, Verdict> {
        let ask = Ask { plan, key, cost };
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
                let of_all = total.take(ask.cost, now);
                if of_all.decision.admitted {
                    let turn = turn.map(|turn| turn.with_total(total.term));
                    (verdict.tighter(of_all), turn)
                } else {
                    policy.machine.leave(ask.key, ask.cost, turn.as_ref(), now);
                    (of_all, None)
                }
            }
            // It may be the total that takes longer.
            Some(total) => (verdict.tighter(total.peek(ask.cost, now)), None),
            None => (verdict, turn),
        }
    }

    /// Returns the place in the queue of a call that has booked `turn` just now.
    #[cold]
    pub(crate) fn place(&self, ask: Ask, turn: Turn, now: Instant) -> Option<Place> {
        self.policy(ask.plan).machine.place(turn, now)
    }

    /// Gives back what a call has taken that goes away from its `place` in the queue.
    pub(crate) fn leave(&self, ask: Ask, place: &Place, now: Instant) {
        let policy = self.policy(ask.plan);
        policy.machine.leave_queue(ask.key, place, now);
        if let Some(term) = place.turn().total {
            self.give_total_back(ask, term, now);
        }
    }

    /// Gives back what a call has taken of the total in this term.
    pub(crate) fn give_total_back(&self, ask: Ask, term: Term, now: Instant) {
        if let Some(total) = self.total.as_ref().filter(|total| total.term == term) {
            total.give_back(ask.cost, now);
        }
    }

    /// Takes what there is, up to the cost.
    pub(crate) fn take_up_to(&self, ask: Ask, now: Instant) -> (u64, Verdict) {
        let policy = self.policy(ask.plan);
        let (taken, own) = policy.machine.take_up_to(ask.key, ask.cost, now);
        match &self.total {
            Some(total) if taken > 0 => {
                let (taken_of_all, of_all) = total.take_up_to(taken, now);
                let more = taken - taken_of_all;
                policy.machine.give_back(ask.key, more, now);
                (taken_of_all, policy.verdict(own).tighter(of_all))
            }
            _ => (taken, policy.verdict(own)),
        }
    }

    /// Says what would become of a call.
    pub(crate) fn peek(&self, ask: Ask, now: Instant) -> Verdict {
        let policy = self.policy(ask.plan);
        let own = policy.verdict(policy.machine.peek(ask.key, ask.cost, now));
        match &self.total {
            Some(total) => own.tighter(total.peek(ask.cost, now)),
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
        if let Some(total) = &self.total {
            total.give_back(ask.cost, now);
        }
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
        let total = self.total.as_ref()?;
        Some(total.peek(0, now).decision.status)
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
    pub(crate) fn policy(&self, plan: usize) -> &Policy {
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
