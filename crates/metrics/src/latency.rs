use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Histogram, Quantile};

use crate::{DurationCounts, LatencySnapshot};

/// How long calls take: of late, for people, and ever, for metrics recorders.
///
/// Lock-free, and 16 KB large.
#[derive(Debug)]
pub struct Latency {
    of_late: Quantile,
    ever: Histogram,
}

impl Latency {
    /// After this time a call counts half: percentiles are those of about the last minute.
    pub const HALF_LIFE: Duration = Duration::from_secs(30);

    /// Starts with no calls.
    #[must_use]
    pub fn new(now: Instant) -> Self {
        Self {
            of_late: Quantile::new(Self::HALF_LIFE, now),
            ever: Histogram::new(),
        }
    }

    /// Notes how long a call took that ended at `now`.
    pub fn record(&self, took: Duration, now: Instant) {
        self.of_late.record(took, now);
        self.ever.record(took);
    }

    /// Returns the percentiles.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> LatencySnapshot {
        let value = |p| self.of_late.value(p, now);
        LatencySnapshot {
            p50: value(0.5),
            p95: value(0.95),
            p99: value(0.99),
            p999: value(0.999),
        }
    }

    /// Returns all that was ever noted.
    #[must_use]
    pub fn counts(&self) -> DurationCounts {
        DurationCounts(self.ever.counts().collect())
    }
}
