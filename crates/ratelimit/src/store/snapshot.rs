use watertight_core::Mode;
use watertight_metrics::LatencySnapshot;

use crate::Status;

/// A look at a rate limit whose quotas are kept in a store: at what this process knows of it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StoredSnapshot {
    /// Whether it refuses calls, or only counts.
    pub mode: Mode,
    /// How the [`total`](crate::RateLimitConfig::total) of this process stands.
    pub total: Option<Status>,
    /// How many calls ask the store, wait for their turns, or have been made and not ended.
    pub in_flight: usize,
    /// How many of them wait for their turns.
    pub queued: usize,
    /// How long calls wait of late, of those that have to. `None` if none ever had to.
    pub queue_wait: Option<LatencySnapshot>,
    /// How often the store could not do what it was asked.
    pub failed: u64,
    /// How often it did not answer in time.
    pub timed_out: u64,
    /// How many penalties, and how much that was to be given back, it was not told of, for there
    /// were too many.
    pub untold: u64,
}
