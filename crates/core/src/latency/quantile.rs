use std::array;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::decay::Decay;
use super::fading::{Fading, MEMORY};
use super::scale::{BUCKETS, bucket_of, duration_of};

/// The quantiles of recent durations.
///
/// A sample counts half after each half-life, so there is no window to outlive and no cliff at its
/// end. With samples coming in at a steady rate,
///
/// - when they become longer, every quantile from the median up shows it within a half-life;
/// - when they become shorter, the quantile `p` shows it within log2(1 / (1 - p)) + 1 half-lives:
///   2 for the median, 7.6 for the 99th percentile.
///
/// Lock-free; takes 8 KB at most whatever is recorded; off by 5 % at most.
pub struct Quantile {
    decay: Decay,
    /// In which epoch the buckets were last put in order.
    tidied: AtomicU64,
    buckets: [Fading; BUCKETS],
}

const _: () = assert!(size_of::<Quantile>() <= 8 * 1024);

/// How many epochs buckets may be left alone. Twice that is still remembered.
const TIDY_EVERY: u64 = MEMORY / 4;

impl Quantile {
    /// Starts with no samples. A half-life below 0.1 ms is taken for 0.1 ms.
    #[must_use]
    pub fn new(half_life: Duration, now: Instant) -> Self {
        Self {
            decay: Decay::new(half_life, now),
            tidied: AtomicU64::new(0),
            buckets: array::from_fn(|_| Fading::default()),
        }
    }

    /// Records what a call took. One that ended before others that are recorded already counts as
    /// much as it would have by now.
    pub fn record(&self, value: Duration, now: Instant) {
        self.record_all([value], now);
    }

    /// [Records](Self::record) what many calls took, and returns how many they were.
    pub fn record_all(&self, values: impl IntoIterator<Item = Duration>, now: Instant) -> u64 {
        let moment = self.decay.at(now);
        self.tidy(moment.epoch);
        let mut count = 0;
        for value in values {
            self.buckets[bucket_of(value)].add(moment);
            count += 1;
        }
        count
    }

    /// Returns the duration that a share `p` of the recent ones does not exceed: the shortest of
    /// which this is so for more than `p` of the weight. 0 gives the shortest, 1 the longest, and
    /// what is outside is taken for the nearer of them. `None` where no sample is left.
    #[must_use]
    pub fn value(&self, p: f64, now: Instant) -> Option<Duration> {
        self.value_from(0, p, now)
    }

    /// [`value`](Self::value) of those of the recent ones alone that are longer than `than`, as far
    /// as they can be told from it.
    #[must_use]
    pub fn value_above(&self, than: Duration, p: f64, now: Instant) -> Option<Duration> {
        self.value_from(bucket_of(than) + 1, p, now)
    }

    fn value_from(&self, first: usize, p: f64, now: Instant) -> Option<Duration> {
        let epoch = self.decay.at(now).epoch;
        self.tidy(epoch);
        let weights = || self.weights(epoch).filter(|(bucket, _)| *bucket >= first);
        let total: u64 = weights().map(|(_, weight)| weight).sum();
        let rank = ((p.clamp(0.0, 1.0) * total as f64) as u64).min(total.checked_sub(1)?);

        let mut below = 0;
        let mut last = first;
        for (bucket, weight) in weights() {
            last = bucket;
            below += weight;
            if below > rank {
                break;
            }
        }
        // Where the samples faded between the two looks, the longest that is left will do.
        Some(duration_of(last))
    }

    /// Returns how many samples the quantiles rest on: each counts 1 when it is recorded, and half
    /// after each half-life.
    #[must_use]
    pub fn weight(&self, now: Instant) -> f64 {
        let moment = self.decay.at(now);
        self.total(moment.epoch) as f64 / moment.weight as f64
    }

    fn total(&self, epoch: u64) -> u64 {
        self.tidy(epoch);
        self.weights(epoch).map(|(_, weight)| weight).sum()
    }

    /// Returns the buckets that are not empty, and their weights in the unit of `epoch`.
    fn weights(&self, epoch: u64) -> impl Iterator<Item = (usize, u64)> {
        self.buckets
            .iter()
            .map(move |bucket| bucket.at(epoch))
            .enumerate()
            .filter(|(_, weight)| *weight > 0)
    }

    fn tidy(&self, epoch: u64) {
        let tidied = self.tidied.load(Ordering::Acquire);
        if epoch.saturating_sub(tidied) >= TIDY_EVERY {
            self.forget(tidied, epoch);
        }
    }

    /// Empties the buckets in which nothing is left, before their epochs look recent again. Nobody
    /// reads them until somebody is done.
    #[cold]
    fn forget(&self, tidied: u64, epoch: u64) {
        let all = epoch - tidied >= 2 * TIDY_EVERY;
        for bucket in &self.buckets {
            if all {
                // After so long a rest the first samples may go with the old ones.
                bucket.clear();
            } else {
                bucket.forget(epoch);
            }
        }
        self.tidied.fetch_max(epoch, Ordering::Release);
    }
}

impl fmt::Debug for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quantile").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const HALF_LIFE: Duration = Duration::from_secs(10);

    fn quantile() -> (Quantile, Instant) {
        let now = Instant::now();
        (Quantile::new(HALF_LIFE, now), now)
    }

    fn near(found: Option<Duration>, exact: Duration) -> bool {
        found.is_some_and(|found| found.abs_diff(exact) * 20 <= exact)
    }

    #[test]
    fn has_no_value_before_the_first_sample() {
        let (quantile, now) = quantile();

        assert_eq!(quantile.value(0.5, now), None);
        assert_eq!(quantile.weight(now), 0.0);
    }

    #[test]
    fn a_constant_is_every_quantile() {
        for constant in [Duration::ZERO, MS, Duration::from_nanos(u64::MAX)] {
            let (quantile, now) = quantile();
            for _ in 0..10 {
                quantile.record(constant, now);
            }

            for p in [f64::NEG_INFINITY, 0.0, 0.5, 0.999, 1.0, f64::INFINITY] {
                assert!(
                    near(quantile.value(p, now), constant),
                    "{p} of {constant:?}"
                );
            }
        }
    }

    #[test]
    fn the_largest_duration_is_counted_as_five_centuries() {
        let (quantile, now) = quantile();
        quantile.record(Duration::MAX, now);

        assert!(near(
            quantile.value(0.5, now),
            Duration::from_nanos(u64::MAX)
        ));
    }

    #[test]
    fn two_modes_are_told_apart_where_they_meet() {
        let (quantile, now) = quantile();
        for number in 0..1_000 {
            quantile.record(if number < 900 { MS } else { 1_000 * MS }, now);
        }

        assert!(near(quantile.value(0.0, now), MS));
        assert!(near(quantile.value(0.899, now), MS));
        assert!(near(quantile.value(0.9, now), 1_000 * MS));
        assert!(near(quantile.value(1.0, now), 1_000 * MS));
    }

    #[test]
    fn those_above_a_duration_have_quantiles_of_their_own() {
        let (quantile, now) = quantile();
        for number in 0..1_000 {
            quantile.record(if number < 900 { MS } else { 1_000 * MS }, now);
            quantile.record(if number < 999 { MS } else { 9_000 * MS }, now);
        }

        for (than, p, expected) in [
            (MS / 2, 0.8, MS),
            (MS, 0.0, 1_000 * MS),
            (MS, 0.98, 1_000 * MS),
            (MS, 1.0, 9_000 * MS),
            (1_000 * MS, 0.0, 9_000 * MS),
        ] {
            assert!(
                near(quantile.value_above(than, p, now), expected),
                "{than:?} {p}"
            );
        }
        assert_eq!(quantile.value_above(9_000 * MS, 0.0, now), None);
        assert_eq!(quantile.value_above(Duration::MAX, 1.0, now), None);
    }

    #[test]
    fn a_sample_weighs_one_and_half_a_half_life_later() {
        let (quantile, now) = quantile();
        for _ in 0..1_000 {
            quantile.record(MS, now);
        }

        assert!((quantile.weight(now) - 1_000.0).abs() < 1.0);
        assert!((480.0..500.0).contains(&quantile.weight(now + HALF_LIFE)));
    }

    #[test]
    fn what_is_long_ago_is_forgotten_and_stays_so() {
        let (quantile, now) = quantile();
        quantile.record(MS, now);
        let epoch = HALF_LIFE * 31 / 32;

        assert!(quantile.value(0.5, now + 8 * epoch).is_some());
        for epochs in [10, 100, 1 << 20, 1 << 23, 1 << 24, 1 << 25] {
            assert_eq!(quantile.value(0.5, now + epochs * epoch), None, "{epochs}");
        }
    }

    #[test]
    fn the_first_sample_after_a_long_rest_is_the_only_one() {
        let shortest = Duration::from_micros(100);
        let now = Instant::now();
        for bits in 7..33 {
            for more in [0, 1, 2, 3, 41] {
                let rested = now + shortest * (1 << (bits - 1)) * 2 + shortest * more;
                let quantile = Quantile::new(shortest, now);
                quantile.record(1_000 * MS, now);

                quantile.record(MS, rested);

                assert!(near(quantile.value(1.0, rested), MS), "{bits} {more}");
                let weight = quantile.weight(rested);
                assert!((0.9..1.1).contains(&weight), "{bits} {more} {weight}");
            }
        }
    }

    /// As above, with traffic in another bucket, so that there is never a long rest.
    #[test]
    fn what_is_long_ago_is_forgotten_under_traffic() {
        let (quantile, start) = quantile();
        let epoch = HALF_LIFE * 31 / 32;
        quantile.record(1_000 * MS, start);
        for step in 1..=64 {
            quantile.record(MS, start + step * (1 << 18) * epoch);
        }

        assert!(near(quantile.value(1.0, start + (1 << 24) * epoch), MS));
    }

    #[test]
    fn a_clock_that_steps_back_loses_nothing() {
        let (quantile, start) = quantile();
        let now = start + 5 * HALF_LIFE;
        for _ in 0..100 {
            quantile.record(MS, now);
        }
        for _ in 0..10 {
            quantile.record(1_000 * MS, now - HALF_LIFE);
        }

        assert!(near(quantile.value(0.5, now), MS));
        assert!(near(quantile.value(0.99, now), 1_000 * MS));
        assert!(near(quantile.value(0.5, start), MS));
        assert!((104.0..=106.0).contains(&quantile.weight(now)));
    }

    /// Records at a steady rate for 20 half-lives before the shift and `after` of them after it.
    fn shift(
        from: Duration,
        to: Duration,
        rate: u32,
        phase: f64,
        after: f64,
    ) -> (Quantile, Instant) {
        let (quantile, start) = quantile();
        let start = start + HALF_LIFE.mul_f64(phase);
        let gap = HALF_LIFE / rate;
        for number in 0..20 * rate {
            quantile.record(from, start + number * gap);
        }
        let shift = start + 20 * HALF_LIFE;
        let now = shift + HALF_LIFE.mul_f64(after);
        let mut next = shift;
        while next < now {
            quantile.record(to, next);
            next += gap;
        }
        (quantile, now)
    }

    #[test]
    fn longer_durations_show_within_a_half_life() {
        for rate in [1, 3, 10, 1_000] {
            for phase in 0..32 {
                let phase = f64::from(phase) / 32.0;
                let (quantile, now) = shift(MS, 100 * MS, rate, phase, 1.0);
                for p in [0.5, 0.9, 0.95, 0.99] {
                    assert!(
                        near(quantile.value(p, now), 100 * MS),
                        "{p} at {rate} from {phase}"
                    );
                }
            }
        }
    }

    #[test]
    fn shorter_durations_show_as_soon_as_the_old_ones_weigh_little() {
        for rate in [1, 3, 10, 1_000] {
            for phase in 0..32 {
                let phase = f64::from(phase) / 32.0;
                for p in [0.5_f64, 0.9, 0.95, 0.99] {
                    let after = (1.0 / (1.0 - p)).log2() + 1.0;
                    let (quantile, now) = shift(100 * MS, MS, rate, phase, after);
                    assert!(
                        near(quantile.value(p, now), MS),
                        "{p} at {rate} from {phase}"
                    );
                }
            }
        }
    }

    #[test]
    fn threads_lose_no_sample_and_invent_none() {
        let (quantile, start) = quantile();
        thread::scope(|scope| {
            for thread in 0..4_u32 {
                let quantile = &quantile;
                scope.spawn(move || {
                    for number in 0..40_000 {
                        quantile.record(thread * MS, start + number * HALF_LIFE / 10_000);
                    }
                });
            }
        });

        let now = start + 4 * HALF_LIFE;
        let weight = quantile.weight(now);
        // 40,000 a half-life for four of them, less what a thread far behind the others adds.
        let steady = 40_000.0 * 31.0 / 32.0 / f64::ln(2.0) * (15.0 / 16.0);
        assert!((0.5 * steady..2.0 * steady).contains(&weight), "{weight}");
    }

    /// The weight of a sample of that age.
    fn exact_weight(age: Duration) -> f64 {
        (-age.as_secs_f64() / (HALF_LIFE.as_secs_f64() * 31.0 / 32.0)).exp2()
    }

    fn durations() -> impl Strategy<Value = Duration> {
        prop_oneof![
            (0..64_u32, any::<u64>()).prop_map(|(bits, nanos)| Duration::from_nanos(nanos >> bits)),
            prop_oneof![Just(Duration::ZERO), Just(MS), Just(1_000 * MS)],
        ]
    }

    proptest! {
        /// The oracle keeps every sample and its exact weight.
        #[test]
        fn agrees_with_exact_weighted_quantiles(
            samples in vec((0..3_000_u32, durations()), 1..300),
            idle in 0..20_000_u32,
            p in 0.0..=1.0_f64,
        ) {
            let (quantile, mut now) = quantile();
            let mut exact = Vec::new();
            for (gap, value) in samples {
                now += gap * MS;
                quantile.record(value, now);
                exact.push((value.as_nanos() as f64, now));
            }
            now += idle * MS;

            let weigh = |takes: &dyn Fn(f64) -> bool| -> f64 {
                exact
                    .iter()
                    .filter(|(value, _)| takes(*value))
                    .map(|(_, at)| exact_weight(now - *at))
                    .sum()
            };
            let total = weigh(&|_| true);
            // The parabola's error, and two units for each sample that has faded.
            let slack = 0.01 * total + exact.len() as f64 / 128.0;
            prop_assert!((quantile.weight(now) - total).abs() <= slack);

            if let Some(found) = quantile.value(p, now) {
                let found = found.as_nanos() as f64;
                prop_assert!(weigh(&|value| value * 1.05 < found) <= p * total + slack);
                prop_assert!(weigh(&|value| value * 0.95 <= found) >= p * total - slack);
            } else {
                prop_assert!(total <= slack);
            }
        }
    }
}
