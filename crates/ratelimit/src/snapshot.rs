use watertight_core::Mode;
use watertight_metrics::LatencySnapshot;

use crate::Status;

/// A look at a rate limit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RateLimitSnapshot {
    /// Whether it refuses calls, or only counts.
    pub mode: Mode,
    /// How it stands for the key that is looked at, or else for calls without one.
    pub status: Status,
    /// How the [`total`](crate::RateLimitConfig::total) stands.
    pub total: Option<Status>,
    /// How many keys have something to get back. With [`max_keys`](crate::RateLimitConfig::max_keys)
    /// above 10,000 it is an estimate from a part of the table: about 1 % off if that is full, and
    /// coarse for a few hundred keys. `None` if no key has come to the quotas in force. Windows that
    /// do not fit in a word count all keys that they remember.
    pub keys: Option<usize>,
    /// How many keys had to go before they had got it back.
    pub keys_evicted: Option<u64>,
    /// How many calls have passed and not ended.
    pub in_flight: usize,
    /// How many of them wait for their turns.
    pub queued: usize,
    /// How long calls wait of late, of those that have to. `None` if none ever had to.
    pub queue_wait: Option<LatencySnapshot>,
}

impl RateLimitSnapshot {
    /// Returns the share of the limit that has been taken. Where there are keys it is that of the
    /// total, if there is one.
    #[must_use]
    pub fn utilization(&self) -> Option<f64> {
        let status = match self.keys {
            Some(_) => self.total?,
            None => self.total.unwrap_or(self.status),
        };
        Some(status.utilization())
    }
}
