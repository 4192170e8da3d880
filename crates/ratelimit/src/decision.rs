use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Key, Name, QuotaStatus};

/// What a limit says of one call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Decision {
    /// Whether the call may go ahead. A call that may not has taken nothing.
    pub admitted: bool,
    /// How the limit stands after the decision.
    pub status: Status,
    /// How long it takes until the same call could pass, if nobody else takes anything.
    ///
    /// `None` for a call that is admitted, and for a cost that no waiting can meet.
    pub retry_after: Option<Duration>,
}

impl Decision {
    pub(crate) const fn admitted(status: Status) -> Self {
        Self {
            admitted: true,
            status,
            retry_after: None,
        }
    }

    /// Returns nothing for a call that passes.
    #[inline]
    pub(crate) fn passed(self) -> Result<(), Self> {
        if self.admitted { Ok(()) } else { Err(self) }
    }

    /// Whether it is this one that stands if both have to be met: the longer wait, or else the one
    /// that leaves less.
    pub(crate) fn is_stricter_than(&self, other: &Self) -> bool {
        let wait = |decision: &Self| decision.retry_after.unwrap_or(Duration::MAX);
        match (self.admitted, other.admitted) {
            (true, true) => self.status.remaining < other.status.remaining,
            (false, false) => wait(self) > wait(other),
            (_, other_admits) => other_admits,
        }
    }

    pub(crate) const fn refused(status: Status, retry_after: Option<Duration>) -> Self {
        Self {
            admitted: false,
            status,
            retry_after,
        }
    }
}

/// How a limit stands: what the `RateLimit` headers say.
///
/// Of several quotas it is the one that refused the call for longest, or else the one that has
/// least left.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Status {
    /// Which of several quotas it is, from 0, in the order in which they were written.
    pub quota: usize,
    /// How much is there when nothing has been taken.
    pub limit: u64,
    /// How much is left, in whole tokens.
    pub remaining: u64,
    /// How long it takes until the limit is whole again, if nobody takes anything.
    pub reset: Duration,
    /// How long `limit` tokens take to come.
    pub window: Duration,
}

impl Status {
    /// Returns the share of the limit that has been taken.
    pub(crate) fn utilization(self) -> f64 {
        let taken = self.limit.saturating_sub(self.remaining);
        taken as f64 / self.limit.max(1) as f64
    }

    /// Returns the status under the name of its policy.
    #[must_use]
    pub const fn named(self, policy: Name) -> QuotaStatus {
        QuotaStatus {
            policy,
            limit: self.limit,
            remaining: self.remaining,
            reset: self.reset,
            window: self.window,
        }
    }
}

/// A machine that limits what is taken: of each key, or without keys of all together.
///
/// It is handed `now`, and a time that comes before an earlier one creates nothing and loses
/// nothing.
pub(crate) trait Meter: Send + Sync {
    /// Takes `cost`, all of it or nothing. A cost of 0 is always admitted.
    fn take(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision;

    /// Takes `cost` as [`take`](Self::take) does, and says no more of a call that passes: how the
    /// limit stands then takes as long to find out as all the rest.
    ///
    /// # Errors
    ///
    /// What is said of a call that does not.
    #[inline]
    fn pass(&self, key: Option<Key>, cost: u64, now: Instant) -> Result<(), Decision> {
        self.take(key, cost, now).passed()
    }

    /// Takes what there is, up to `most`, and returns how much that was. It is admitted if that is
    /// anything, and otherwise as a refused cost of 1.
    fn take_up_to(&self, key: Option<Key>, most: u64, now: Instant) -> (u64, Decision);

    /// Returns what [`take`](Self::take) would, and takes nothing: the status is as it is before.
    fn peek(&self, key: Option<Key>, cost: u64, now: Instant) -> Decision;

    /// Gives back what was taken for nothing.
    fn give_back(&self, key: Option<Key>, cost: u64, now: Instant);

    /// Takes `cost` whether it is there or not: a penalty, up to a bound.
    fn charge(&self, key: Option<Key>, cost: u64, now: Instant);
}
