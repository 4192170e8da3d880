use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Name};

use crate::machine::{Machine, Plant};
use crate::store::{Act, Order};
use crate::verdict::Verdict;
use crate::{Decision, Quotas};

/// What some calls are limited by.
#[derive(Debug)]
pub(crate) struct Policy {
    plant: Plant,
    quotas: Quotas,
    pub(crate) machine: Machine,
    /// What each quota is called.
    names: Box<[Name]>,
}

impl Policy {
    /// Makes the policy of this name, in place of an old one if there is one of that name. What has
    /// not changed is the old one.
    pub(crate) fn in_place_of(
        old: Option<&Arc<Self>>,
        name: &str,
        quotas: &Quotas,
        plant: &Plant,
        now: Instant,
    ) -> Arc<Self> {
        // A plan that is no more has left the place to the calls without one.
        let old = old.filter(|old| old.names[0].as_str() == name);
        if let Some(old) = old
            && (&old.quotas, &old.plant) == (quotas, plant)
        {
            return Arc::clone(old);
        }
        let machine = match old {
            Some(old) => old.machine.followed_by(plant, quotas, now),
            None => Machine::new(plant, quotas, now),
        };
        let names = (1..=quotas.as_slice().len()).map(|number| match number {
            1 => Name::new(name),
            _ => Name::new(&format!("{name}/{number}")),
        });
        Arc::new(Self {
            plant: *plant,
            quotas: quotas.clone(),
            machine,
            names: names.collect(),
        })
    }

    /// Returns what a store is to be told that keeps these quotas.
    pub(crate) fn order(
        &self,
        key: Option<Key>,
        act: Act,
        patience: Duration,
        timeout: Duration,
    ) -> Order<'_> {
        Order {
            policy: self.names[0],
            key,
            rule: self.plant.rule(&self.quotas),
            act,
            patience: patience.min(self.plant.max_wait()),
            timeout,
        }
    }

    /// Returns the verdict that is a decision of this policy.
    #[inline]
    pub(crate) fn verdict(&self, decision: Decision) -> Verdict {
        let name = self.names.get(decision.status.quota);
        Verdict {
            decision,
            policy: *name.unwrap_or(&self.names[0]),
        }
    }
}
