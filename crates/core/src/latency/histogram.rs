use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::scale::{BUCKETS, bucket_of, duration_of};

/// Counts durations for ever, for whoever writes them to a metrics recorder.
///
/// Its buckets are those of [`Quantile`](crate::Quantile). It is lock-free, and takes 8 KB.
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
}

impl Histogram {
    /// Makes an empty histogram.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buckets: array::from_fn(|_| AtomicU64::new(0)),
        }
    }

    /// Counts a duration.
    pub fn record(&self, value: Duration) {
        self.buckets[bucket_of(value)].fetch_add(1, Ordering::Relaxed);
    }

    /// Returns what has been counted, from the shortest on: durations, each within 5 % of those
    /// that it stands for, and how many there were.
    pub fn counts(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.buckets
            .iter()
            .enumerate()
            .map(|(bucket, count)| (duration_of(bucket), count.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.counts()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_each_duration_in_its_bucket() {
        let histogram = Histogram::new();
        for value in [
            Duration::MAX,
            Duration::ZERO,
            Duration::from_nanos(7),
            Duration::ZERO,
        ] {
            histogram.record(value);
        }

        let counts: Vec<_> = histogram.counts().collect();

        assert_eq!(
            counts[..2],
            [(Duration::ZERO, 2), (Duration::from_nanos(7), 1)]
        );
        assert_eq!(counts[2], (duration_of(BUCKETS - 1), 1));
        assert_eq!(counts.len(), 3);
    }
}
