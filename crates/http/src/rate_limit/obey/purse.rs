use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Key;

use super::ObeyServerConfig;
use super::said::{Limit, share};

/// What is left of one limit.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purse {
    pub(super) id: Key,
    /// The number of the call whose answer told.
    pub(super) told_by: u64,
    /// How much there is in a window.
    quota: Option<u64>,
    /// How many calls may still start.
    left: u64,
    /// With no more than so many left, they start at intervals.
    spread_at: u64,
    interval: Duration,
    /// When the interval after the last call ends.
    next: Instant,
    /// When the limit is whole again, if that is known.
    ends: Option<Instant>,
}

impl Purse {
    /// Makes the purse of a limit that the answer to the call `told_by` told.
    ///
    /// What is left is spread over the time for which it has to do, unless the policy allows less:
    /// a quota that has just begun, and of which little time is left, promises no higher rate.
    pub(super) fn new(limit: &Limit, told_by: u64, spread_below: f64, now: Instant) -> Self {
        let over = limit.reset.map(|time| share(time, limit.left));
        let quota = limit.quota.unwrap_or(0);
        Self {
            id: limit.id,
            told_by,
            quota: limit.quota,
            left: limit.left,
            spread_at: (quota as f64 * spread_below) as u64,
            interval: over.max(limit.interval).unwrap_or_default(),
            next: now,
            ends: limit.reset.map(|time| after(now, time)),
        }
    }

    /// Goes on at the pace at which `before` has started calls.
    pub(super) fn follow(&mut self, before: &Self, now: Instant) {
        self.next = before.next.min(after(now, self.interval));
    }

    /// Begins anew, with all of the quota, for a time that nobody knows yet. Returns false if the
    /// quota is not known.
    pub(super) fn renew(&mut self) -> bool {
        self.left = self.quota.unwrap_or(0);
        self.ends = None;
        self.quota.is_some()
    }

    /// Counts calls that are on their way: the server may not have counted them yet.
    pub(super) fn spend(&mut self, calls: u64) {
        self.left = self.left.saturating_sub(calls);
    }

    /// Returns whether nothing of what it says holds any longer.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        self.ends.is_some_and(|ends| ends <= now)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.left == 0
    }

    /// Returns when a call may start. `None`: not before an answer says so.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        match self.left {
            0 => self.ends,
            left if left > self.spread_at => Some(now),
            _ => Some(self.next.max(now)),
        }
    }

    /// Returns how far apart the calls are that start now.
    pub(super) fn interval(&self) -> Duration {
        if self.left > self.spread_at {
            return Duration::ZERO;
        }
        self.interval
    }

    /// Starts a call.
    pub(super) fn take(&mut self, now: Instant) {
        if self.left <= self.spread_at {
            self.next = after(self.next.max(now), self.interval);
        }
        self.spend(1);
    }
}

/// Returns the instant after `time`, or one that is as good as never.
pub(super) fn after(now: Instant, time: Duration) -> Instant {
    now + time.min(ObeyServerConfig::AGES)
}
