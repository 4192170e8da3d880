use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Quantile, nanos};

use crate::HedgeConfig;

/// How long the calls of a layer take, of late.
///
/// It is the answers of first attempts that count. An attempt that lost to a hedge or was given up
/// counts as one that took longer than the delay after which it would have been hedged, or where
/// it did not last so long, not at all: so the quantiles up to that delay are those that there
/// would be without hedges, and those above are not.
pub struct Latencies {
    quantile: Quantile,
    start: Instant,
    min_samples: AtomicU64,
    /// How many have ever been recorded.
    recorded: AtomicU64,
    /// How many there will be, and what time it will be, when it is worth while to look again.
    look_at_count: AtomicU64,
    look_at_time: AtomicU64,
}

/// With less weight a tail is the luck of the last few calls.
const LEAST_WEIGHT: u64 = 20;

/// For how long figures may be old: a hundredth of the half-life.
const STALE_AFTER: Duration = Duration::from_millis(300);

const _: () = assert!(STALE_AFTER.as_millis() * 100 <= HedgeConfig::HALF_LIFE.as_millis());

impl Latencies {
    pub(crate) fn new(min_samples: u32, now: Instant) -> Self {
        Self {
            quantile: Quantile::new(HedgeConfig::HALF_LIFE, now),
            start: now,
            min_samples: AtomicU64::new(min_samples.into()),
            recorded: AtomicU64::new(0),
            look_at_count: AtomicU64::new(0),
            look_at_time: AtomicU64::new(0),
        }
    }

    /// Returns the duration that a share `p` of the recent calls did not exceed. `None` during the
    /// warm-up, and while there were too few calls of late.
    #[must_use]
    pub fn quantile(&self, p: f64) -> Option<Duration> {
        self.quantile_at(p, Instant::now())
    }

    pub(crate) fn quantile_at(&self, p: f64, now: Instant) -> Option<Duration> {
        // Even those of the warm-up fade while it lasts.
        let least = (self.min_samples.load(Ordering::Relaxed) / 2).min(LEAST_WEIGHT);
        if !self.is_warm() || self.quantile.weight(now) < least as f64 {
            return None;
        }
        // A quantile stands for all durations within a 33rd of it, and the longest is meant.
        let found = self.quantile.value(p, now)?;
        Some(found.saturating_add(found / 32))
    }

    /// Whether the warm-up is over.
    pub(crate) fn is_warm(&self) -> bool {
        self.recorded.load(Ordering::Relaxed) >= self.min_samples.load(Ordering::Relaxed)
    }

    pub(crate) fn set_min_samples(&self, samples: u32) {
        self.min_samples.store(samples.into(), Ordering::Relaxed);
    }

    /// Records what calls took. Returns true if the quantiles may well be others than when somebody
    /// [looked](Self::looked) last.
    pub(crate) fn record(&self, durations: impl Iterator<Item = Duration>, now: Instant) -> bool {
        let count = self.quantile.record_all(durations, now);
        let recorded = self.recorded.fetch_add(count, Ordering::Relaxed) + count;
        recorded >= self.look_at_count.load(Ordering::Relaxed)
            || self.time(now) >= self.look_at_time.load(Ordering::Relaxed)
    }

    /// Takes note that somebody has looked. A look takes a microsecond or two.
    pub(crate) fn looked(&self, now: Instant) {
        let recorded = self.recorded.load(Ordering::Relaxed);
        let min_samples = self.min_samples.load(Ordering::Relaxed);
        let worth_while = (self.quantile.weight(now) / 8.0) as u64 + 1;
        let next = min_samples.max(recorded.saturating_add(worth_while));
        self.look_at_count.store(next, Ordering::Relaxed);
        self.look_at_time.store(self.due(now), Ordering::Relaxed);
    }

    /// Returns until when a thread may keep its samples to itself.
    pub(crate) fn due(&self, now: Instant) -> u64 {
        let patience = if self.is_warm() {
            STALE_AFTER
        } else {
            Duration::ZERO
        };
        self.time(now).saturating_add(nanos(patience))
    }

    /// Returns how many nanoseconds have passed at `now`.
    #[inline]
    pub(crate) fn time(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.start))
    }

    /// Returns when so many nanoseconds had passed.
    pub(crate) fn at(&self, time: u64) -> Option<Instant> {
        self.start.checked_add(Duration::from_nanos(time))
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Latencies")
            .field("recorded", &self.recorded)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn latencies(min_samples: u32) -> (Latencies, Instant) {
        let now = Instant::now();
        (Latencies::new(min_samples, now), now)
    }

    #[test]
    fn are_unknown_during_the_warm_up() {
        let (latencies, now) = latencies(100);

        latencies.record((0..99).map(|_| MS), now);
        assert_eq!(latencies.quantile_at(0.5, now), None);

        latencies.record([MS].into_iter(), now);
        assert!(latencies.quantile_at(0.5, now).is_some());
    }

    #[test]
    fn a_quantile_is_no_shorter_than_the_samples_that_it_stands_for() {
        let (latencies, now) = latencies(1);
        for nanos in (0..1_000_000_000).step_by(997_001) {
            let sample = Duration::from_nanos(nanos);
            latencies.record([sample].into_iter(), now);

            let longest = latencies.quantile_at(1.0, now).unwrap();
            assert!(longest >= sample, "{longest:?} of {sample:?}");
            assert!(longest <= sample + sample / 14 + Duration::from_nanos(16));
        }
    }

    #[test]
    fn are_unknown_again_after_a_long_rest() {
        let (latencies, now) = latencies(100);
        latencies.record((0..1000).map(|_| MS), now);
        let later = now + 6 * HedgeConfig::HALF_LIFE;

        assert_eq!(latencies.quantile_at(0.5, later), None);

        // They were warm once: a few calls will do.
        latencies.record((0..10).map(|_| MS), later);
        assert!(latencies.quantile_at(0.5, later).is_some());
    }

    #[test]
    fn are_looked_at_when_they_have_grown_by_an_eighth_and_when_time_has_passed() {
        let (latencies, now) = latencies(100);
        let one = || [MS].into_iter();
        latencies.record((0..800).map(|_| MS), now);
        latencies.looked(now);

        assert!(!latencies.record((0..99).map(|_| MS), now));
        assert!(latencies.record((0..2).map(|_| MS), now));
        latencies.looked(now);
        assert!(!latencies.record(one(), now + STALE_AFTER - MS));
        assert!(latencies.record(one(), now + STALE_AFTER));
    }
}
