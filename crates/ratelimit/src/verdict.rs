use watertight_core::{Key, Name, QuotaStatus};

use crate::Decision;

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

    /// Returns the verdict that stands if both have to be met.
    pub(crate) fn tighter(self, of_all: Self) -> Self {
        if of_all.decision.is_stricter_than(&self.decision) {
            of_all
        } else {
            self
        }
    }
}
