use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Quantile;

/// The quantiles of what the last calls took.
///
/// A call counts half after [`HALF_LIFE_CALLS`] others, or after [`HALF_LIFE_TIME`] where that
/// takes longer: so a service that becomes faster or slower is known within 5,000 calls or two
/// seconds, and the quantiles rest on a thousand calls at least.
#[derive(Debug)]
pub(crate) struct Recent {
    /// Its clock is [`clock`](Self::clock).
    quantile: Quantile,
    start: Instant,
    /// In nanoseconds since `start`, of which a half-life has a thousand million.
    clock: AtomicU64,
    /// Until when real time has been made use of.
    spent: AtomicU64,
    recorded: AtomicU64,
}

/// After 4.3 half-lives a twentieth is left of what was before, and does not reach the 95th
/// percentile any more.
const HALF_LIFE_CALLS: u64 = 640;
const HALF_LIFE_TIME: u64 = 256_000_000;

pub(crate) const HALF_LIFE: u64 = 1_000_000_000;

impl Recent {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            quantile: Quantile::new(Duration::from_nanos(HALF_LIFE), start),
            start,
            clock: AtomicU64::new(0),
            spent: AtomicU64::new(0),
            recorded: AtomicU64::new(0),
        }
    }

    /// Records durations that stand for `calls_each` calls, at a time in nanoseconds. Returns how
    /// many they were.
    pub(crate) fn record(
        &self,
        durations: impl IntoIterator<Item = Duration>,
        calls_each: u64,
        now: u64,
    ) -> u64 {
        let count = self.quantile.record_all(durations, self.clock());
        self.recorded.fetch_add(count, Ordering::Relaxed);
        self.pass(count * calls_each, now);
        count
    }

    /// Returns how many have ever been recorded.
    pub(crate) fn recorded(&self) -> u64 {
        self.recorded.load(Ordering::Relaxed)
    }

    /// Returns the duration that a share `p` of the calls did not exceed. It stands for all within
    /// a 33rd of it.
    pub(crate) fn quantile(&self, p: f64) -> Option<Duration> {
        self.quantile.value(p, self.clock())
    }

    /// Returns the duration that a share `p` of those of the calls did not exceed that took longer
    /// than `than`. `None` if none did.
    pub(crate) fn quantile_above(&self, than: Duration, p: f64) -> Option<Duration> {
        self.quantile.value_above(than, p, self.clock())
    }

    /// Returns the time that goes by what is recorded: [`HALF_LIFE`] passes in a half-life.
    pub(crate) fn time(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    fn clock(&self) -> Instant {
        self.start + Duration::from_nanos(self.time())
    }

    /// Lets the clock go on by what `calls` are worth, as far as there was time for them. Time in
    /// which few came may be made up for, up to a half-life.
    fn pass(&self, calls: u64, now: u64) {
        let spent = self.spent.load(Ordering::Relaxed);
        let spent = spent.max(now.saturating_sub(HALF_LIFE_TIME));
        let left = now.saturating_sub(spent);
        let passed = (calls * (HALF_LIFE_TIME / HALF_LIFE_CALLS)).min(left);
        self.spent.store(spent + passed, Ordering::Relaxed);
        let passed = passed * HALF_LIFE / HALF_LIFE_TIME;
        self.clock.fetch_add(passed, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;
    const OLD: Duration = Duration::from_millis(50);
    const NEW: Duration = Duration::from_millis(5);

    /// Returns which share of the weight is old after so many calls at this rate.
    fn old(calls: u64, per_second: u64) -> f64 {
        let recent = Recent::new(Instant::now());
        let gap = SECOND / per_second;
        let mut now = 10 * SECOND;
        for n in 0..10 * calls {
            now += gap;
            recent.record([if n < 9 * calls { OLD } else { NEW }], 1, now);
        }
        let is_old = |p: &u32| {
            let found = recent.quantile(f64::from(*p) / 1_000.0).unwrap();
            found > 2 * NEW
        };
        f64::from((1..1_000).filter(is_old).count() as u32) / 1_000.0
    }

    #[test]
    fn forgets_within_five_thousand_calls_or_two_seconds() {
        for (calls, per_second) in [(5_000, 20), (5_000, 2_500), (20_000, 10_000)] {
            assert!(old(calls, per_second) < 0.008, "{per_second}");
        }
    }

    #[test]
    fn remembers_a_thousand_calls_and_a_quarter_of_a_second() {
        for (calls, per_second) in [(HALF_LIFE_CALLS, 20), (2_560, 10_000)] {
            let share = old(calls, per_second);
            assert!((0.45..0.55).contains(&share), "{share} at {per_second}");
        }
    }
}
