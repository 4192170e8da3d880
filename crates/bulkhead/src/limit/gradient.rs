use watertight_core::ConfigError;

use super::range;
use crate::{LimitAlgorithm, Sample};

/// Compares each latency with the long-term mean, and shrinks in proportion where it is more than
/// half as long again: Gradient2 of Netflix's `concurrency-limits`.
///
/// The long-term mean is over some 600 calls, so it takes a load that lasts for normal: behind a
/// service that is always overloaded the limit creeps up, or stays at whatever it began with.
/// Right where loads come and go.
///
/// The limit does not grow while less than half of it is in use. The numbers are Netflix's; but a
/// drop counts as the worst gradient there is, 0.5, and never makes part of the mean.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Gradient {
    /// The limit to begin with.
    pub initial: usize,
    /// The least limit.
    pub min: usize,
    /// The greatest limit.
    pub max: usize,
    /// What of a change is made at once, above 0.0 and up to 1.0.
    pub smoothing: f64,
    /// By how much the limit grows while latency is normal: how many calls may queue.
    pub queue: usize,
    /// How many calls the long-term mean is over, at least 1.
    pub long_window: u32,
    /// How many times the long-term mean a latency may be, at least 1.0.
    pub tolerance: f64,
}

impl Default for Gradient {
    fn default() -> Self {
        Self {
            initial: 20,
            min: 20,
            max: 200,
            smoothing: 0.2,
            queue: 4,
            long_window: 600,
            tolerance: 1.5,
        }
    }
}

impl Gradient {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        range::check(self.min, self.initial, self.max)?;
        range::check_share("limit.smoothing", self.smoothing, true)?;
        if self.long_window == 0 {
            return Err(ConfigError::new("limit.long_window", 0, "at least 1"));
        }
        if !(self.tolerance.is_finite() && self.tolerance >= 1.0) {
            let allowed = "a number of at least 1.0";
            return Err(ConfigError::new("limit.tolerance", self.tolerance, allowed));
        }
        Ok(())
    }
}

/// A [`Gradient`] limit at work.
#[derive(Debug)]
pub(super) struct GradientLimit {
    settings: Gradient,
    limit: f64,
    /// The long-term mean latency, in seconds.
    mean: f64,
    /// How many calls are in the mean, until they are as many as it begins with.
    warm: u32,
}

/// The least gradient, so that one slow call takes no more than half away.
const STEEPEST: f64 = 0.5;

/// The long-term mean begins as the plain mean of so many calls.
const WARMUP: u32 = 10;

impl GradientLimit {
    pub(super) fn new(settings: Gradient) -> Self {
        Self {
            limit: settings.initial as f64,
            settings,
            mean: 0.0,
            warm: 0,
        }
    }

    /// Adds a latency to the long-term mean. A mean of more than twice the latency is from a time
    /// of overload, and shrinks by a 20th more.
    fn learn(&mut self, latency: f64) {
        let weight = if self.warm < WARMUP {
            self.warm += 1;
            1.0 / f64::from(self.warm)
        } else {
            2.0 / (f64::from(self.settings.long_window) + 1.0)
        };
        self.mean += (latency - self.mean) * weight;
        if self.mean > 2.0 * latency {
            self.mean *= 0.95;
        }
    }
}

impl LimitAlgorithm for GradientLimit {
    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn sample(&mut self, sample: &Sample) {
        let gradient = if sample.dropped {
            STEEPEST
        } else {
            let latency = sample.duration.as_secs_f64();
            self.learn(latency);
            if (sample.in_flight as f64) < self.limit / 2.0 {
                return;
            }
            gradient(self.settings.tolerance * self.mean, latency)
        };
        let aim = self.limit * gradient + self.settings.queue as f64;
        let limit = self.limit + (aim - self.limit) * self.settings.smoothing;
        self.limit = limit.clamp(self.settings.min as f64, self.settings.max as f64);
    }
}

fn gradient(tolerable: f64, latency: f64) -> f64 {
    if latency <= tolerable {
        return 1.0;
    }
    (tolerable / latency).max(STEEPEST)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use super::*;

    fn gradient_limit(initial: usize) -> GradientLimit {
        GradientLimit::new(Gradient {
            initial,
            min: 1,
            ..Gradient::default()
        })
    }

    #[test]
    fn grows_by_a_part_of_the_queue_while_latency_is_normal() {
        let mut gradient = gradient_limit(20);

        for _ in 0..5 {
            gradient.sample(&served(10, 20));
        }

        // Each of five calls adds 0.2 x 4.
        assert_eq!(gradient.limit(), 24);
    }

    #[test]
    fn shrinks_in_proportion_to_the_latency_and_by_half_at_most() {
        for (latency, expected) in [(14, 100.8), (20, 95.85), (1_000, 90.8)] {
            let mut gradient = gradient_limit(100);
            for _ in 0..WARMUP {
                gradient.sample(&served(10, 1));
            }

            gradient.sample(&served(latency, 100));

            // A latency of 20 ms takes the mean to 10.03 ms, and 1.5 times that is 0.7525 of it.
            assert!((gradient.limit - expected).abs() < 0.001, "{latency} ms");
        }
    }

    #[test]
    fn does_not_grow_while_less_than_half_is_in_use() {
        let mut gradient = gradient_limit(20);

        gradient.sample(&served(10, 9));
        assert_eq!(gradient.limit(), 20);
        gradient.sample(&served(10, 10));
        assert!(gradient.limit > 20.0);
    }

    #[test]
    fn a_drop_lowers_the_limit_and_leaves_the_mean_alone() {
        let mut gradient = gradient_limit(100);
        gradient.sample(&served(10, 1));

        gradient.sample(&drop(1_000, 100));

        // 100 x (0.8 + 0.2 x 0.5) + 0.2 x 4.
        assert!((gradient.limit - 90.8).abs() < 1e-9);
        assert!((gradient.mean - 0.010).abs() < 1e-12);
    }

    #[test]
    fn the_mean_shrinks_faster_after_an_overload() {
        let mut gradient = gradient_limit(20);
        for _ in 0..WARMUP {
            gradient.sample(&served(100, 1));
        }
        for _ in 0..20 {
            gradient.sample(&served(10, 1));
        }

        assert!(gradient.mean < 0.040, "{}", gradient.mean);
    }
}
