use std::time::Duration;

use tokio::time::Instant;
use watertight_core::nanos;

use super::taken::Taken;
use crate::ticks::HORIZON;
use crate::{Decision, Quota, Status};

pub(super) const HORIZON_NANOS: u64 = nanos(HORIZON);

/// A window over time, in nanoseconds since an epoch: how long it is, and how much fits in it.
#[derive(Clone, Debug)]
pub(crate) struct Span {
    epoch: Instant,
    /// The most that may be taken within the window.
    limit: u64,
    /// The most that penalties make of it.
    most: u64,
    period: Duration,
    /// As nanoseconds.
    pub(super) length: u64,
    /// How many buckets it is divided in.
    pub(super) buckets: u64,
    /// How long each of them is, rounded up: together they are less than a microsecond longer than
    /// the period.
    pub(super) bucket: u64,
}

impl Span {
    /// Makes the window of a valid quota, in so many buckets.
    pub(crate) fn new(quota: &Quota, buckets: u32, epoch: Instant) -> Self {
        let length = nanos(quota.period()).max(1);
        let buckets = u64::from(buckets.max(1));
        Self {
            epoch,
            limit: quota.tokens(),
            most: quota.tokens().saturating_add(quota.max_debt()),
            period: quota.period(),
            length,
            buckets,
            bucket: length.div_ceil(buckets),
        }
    }

    pub(crate) fn epoch(&self) -> Instant {
        self.epoch
    }

    /// Returns the most that may be taken within the window.
    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Returns the most that penalties make of what was taken.
    pub(super) fn most(&self) -> u64 {
        self.most
    }

    pub(crate) fn period(&self) -> Duration {
        self.period
    }

    /// Returns the nanoseconds since the epoch. After a hundred years time stands still.
    #[inline]
    pub(crate) fn at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch)).min(HORIZON_NANOS)
    }

    /// Returns in which bucket of all time a nanosecond lies.
    #[inline]
    pub(super) fn index(&self, at: u64) -> u64 {
        at / self.bucket
    }

    /// Returns the first nanosecond of a bucket.
    pub(super) fn start_of(&self, index: u64) -> u64 {
        index.saturating_mul(self.bucket)
    }

    /// Returns what is left of the `count` of the oldest bucket when the one that runs is `elapsed`
    /// nanoseconds old, rounded up.
    #[inline]
    pub(super) fn faded(&self, count: u64, elapsed: u64) -> u64 {
        let left = self.bucket.saturating_sub(elapsed);
        if let Some(product) = count.checked_mul(left) {
            return product.div_ceil(self.bucket);
        }
        // It is no more than `count`.
        (u128::from(count) * u128::from(left)).div_ceil(self.bucket.into()) as u64
    }

    /// Returns how old the bucket that runs has to be for no more than `most` to be left of the
    /// `count` of the oldest.
    pub(super) fn fades_to(&self, count: u64, most: u64) -> u64 {
        if count <= most {
            return 0;
        }
        // It is no more than the bucket.
        let left = u128::from(most) * u128::from(self.bucket) / u128::from(count);
        self.bucket - left as u64
    }

    /// Returns how much more can be taken.
    #[inline]
    pub(super) fn room<T: Taken>(&self, taken: &T, at: u64) -> u64 {
        self.limit.saturating_sub(taken.used(at, self))
    }

    /// Returns how much more penalties can take.
    pub(super) fn room_for_penalty<T: Taken>(&self, taken: &T, at: u64) -> u64 {
        self.most.saturating_sub(taken.used(at, self))
    }

    /// Says what becomes of a call of `cost`, and how the window stands.
    #[inline]
    pub(super) fn decide<T: Taken>(&self, taken: &T, cost: u64, now: Now) -> Decision {
        let remaining = self.room(taken, now.at);
        let status = self.status(remaining, now.until(taken.falls_to(0, now.at, self)));
        if cost <= remaining {
            return Decision::admitted(status);
        }
        let most = self.limit.checked_sub(cost);
        let wait = most.map(|most| now.until(taken.falls_to(most, now.at, self)));
        Decision::refused(status, wait)
    }

    /// Refuses a call for whose key there is no room.
    pub(super) fn no_room(&self, wait: Duration) -> Decision {
        Decision::refused(self.status(0, wait), Some(wait))
    }

    #[inline]
    fn status(&self, remaining: u64, reset: Duration) -> Status {
        Status {
            quota: 0,
            limit: self.limit,
            remaining,
            reset,
            window: self.period,
        }
    }
}

/// The time of a decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    /// In nanoseconds since the epoch.
    pub(super) at: u64,
    /// What the caller's clock says, which may have stepped back.
    pub(super) asked: u64,
}

impl Now {
    #[inline]
    fn until(self, at: u64) -> Duration {
        Duration::from_nanos(at.saturating_sub(self.asked))
    }
}
