use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use watertight_core::nanos;

/// How long an attempt that is answered takes of late: a mean in which each weighs an eighth, as TCP
/// has it (RFC 6298). Of two that are recorded at once, one may be lost.
#[derive(Debug, Default)]
pub(crate) struct Typical(AtomicU64);

const WEIGHT: u64 = 8;

impl Typical {
    pub(crate) fn record(&self, took: Duration) {
        let took = nanos(took).max(1);
        let mean = self.0.load(Ordering::Relaxed);
        let next = if mean == 0 {
            took
        } else {
            mean - mean / WEIGHT + took / WEIGHT
        };
        self.0.store(next, Ordering::Relaxed);
    }

    /// Returns zero while nothing is known.
    pub(crate) fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn follows_what_is_recorded() {
        let typical = Typical::default();
        assert_eq!(typical.get(), Duration::ZERO);

        typical.record(Duration::from_millis(80));
        assert_eq!(typical.get(), Duration::from_millis(80));

        typical.record(Duration::from_millis(160));
        assert_eq!(typical.get(), Duration::from_millis(90));

        for _ in 0..100 {
            typical.record(Duration::from_millis(160));
        }
        assert!(typical.get() > Duration::from_millis(159));
    }

    #[test]
    fn the_longest_duration_does_not_overflow() {
        let typical = Typical::default();

        for _ in 0..100 {
            typical.record(Duration::MAX);
        }

        assert!(typical.get() > Duration::from_secs(3600));
    }
}
