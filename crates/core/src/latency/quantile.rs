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
        let moment = self.decay.at(now);
        self.tidy(moment.epoch);
        self.buckets[bucket_of(value)].add(moment);
    }

    /// Returns the duration that a share `p` of the recent ones does not exceed: the shortest of
    /// which this is so for more than `p` of the weight. 0 gives the shortest, 1 the longest, and
    /// what is outside is taken for the nearer of them. `None` where no sample is left.
    #[must_use]
    pub fn value(&self, p: f64, now: Instant) -> Option<Duration> {
        let epoch = self.decay.at(now).epoch;
        let total = self.total(epoch);
        let rank = ((p.clamp(0.0, 1.0) * total as f64) as u64).min(total.checked_sub(1)?);

        let mut below = 0;
        let mut last = 0;
        for (bucket, weight) in self.weights(epoch) {
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
        let tidied = self.tidied.load(Ordering::Relaxed);
        if epoch.saturating_sub(tidied) >= TIDY_EVERY {
            self.forget(tidied, epoch);
        }
    }

    /// Empties the buckets in which nothing is left, before their epochs look recent again.
    #[cold]
    fn forget(&self, tidied: u64, epoch: u64) {
        let mine =
            self.tidied
                .compare_exchange(tidied, epoch, Ordering::Relaxed, Ordering::Relaxed);
        if mine.is_err() {
            return;
        }
        let all = epoch - tidied >= 2 * TIDY_EVERY;
        for bucket in &self.buckets {
            if all {
                // After so long a rest the first samples may go with the old ones.
                bucket.clear();
            } else {
                bucket.forget(epoch);
            }
        }
    }
}

impl fmt::Debug for Quantile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Quantile").finish_non_exhaustive()
    }
}
