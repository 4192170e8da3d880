use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use watertight_core::ConfigError;

use super::range;
use crate::{LimitAlgorithm, Sample};

/// Limits how many calls wait at the service, as TCP Vegas does with packets.
///
/// The fastest call of late is taken for one that did not wait, so that of `limit` calls
/// `limit x (1 - fastest / latency)` do. Up to log10(limit) of them the limit grows fast, up to
/// three times as many slowly, and above six times it shrinks. Right where calls are all alike:
/// where some are fast by nature it takes the others for waiting, and limits far too low.
///
/// The limit does not grow while less than half of it is in use. The numbers are those of
/// Netflix's `concurrency-limits`; but only calls that were served tell the fastest latency.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Vegas {
    /// The limit to begin with.
    pub initial: usize,
    /// The least limit.
    pub min: usize,
    /// The greatest limit.
    pub max: usize,
    /// What of a change is made at once, above 0.0 and up to 1.0.
    pub smoothing: f64,
    /// What a limit that is too high is multiplied by, above 0.0 and below 1.0. Without it,
    /// log10(limit) is taken off.
    pub backoff: Option<f64>,
    /// After how many calls the fastest latency is measured anew: this times the limit, less up
    /// to a half by chance. At least 1.
    pub probe_every: u32,
}

impl Default for Vegas {
    fn default() -> Self {
        Self {
            initial: 20,
            min: 1,
            max: 1_000,
            smoothing: 1.0,
            backoff: None,
            probe_every: 30,
        }
    }
}

impl Vegas {
    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        range::check(self.min, self.initial, self.max)?;
        range::check_share("limit.smoothing", self.smoothing, true)?;
        if let Some(backoff) = self.backoff {
            range::check_share("limit.backoff", backoff, false)?;
        }
        if self.probe_every == 0 {
            return Err(ConfigError::new("limit.probe_every", 0, "at least 1"));
        }
        Ok(())
    }
}

/// A [`Vegas`] limit at work.
#[derive(Debug)]
pub(super) struct VegasLimit {
    settings: Vegas,
    limit: f64,
    fastest: Option<Duration>,
    /// How many calls have been answered since the fastest latency was last measured anew.
    since_probe: u64,
    /// The share of the longest time between two probes that the next one waits.
    jitter: f64,
    rng: SmallRng,
}

impl VegasLimit {
    pub(super) fn new(settings: Vegas, seed: u64) -> Self {
        let mut vegas = Self {
            limit: settings.initial as f64,
            settings,
            fastest: None,
            since_probe: 0,
            jitter: 1.0,
            rng: SmallRng::seed_from_u64(seed),
        };
        vegas.jitter = vegas.draw();
        vegas
    }

    fn draw(&mut self) -> f64 {
        self.rng.random_range(0.5..1.0)
    }

    /// Returns the limit that a served call asks for.
    fn served(&mut self, sample: &Sample) -> f64 {
        self.since_probe += 1;
        let every = f64::from(self.settings.probe_every);
        if self.since_probe as f64 >= self.jitter * every * self.limit {
            self.since_probe = 0;
            self.jitter = self.draw();
            self.fastest = Some(sample.duration);
            return self.limit;
        }
        let Some(fastest) = self.fastest.filter(|fastest| sample.duration >= *fastest) else {
            self.fastest = Some(sample.duration);
            return self.limit;
        };
        if (sample.in_flight as f64) * 2.0 < self.limit.floor() {
            return self.limit;
        }
        self.towards(waiting(self.limit, fastest, sample.duration))
    }

    /// Returns the limit that is right while `waiting` calls wait at the service.
    fn towards(&self, waiting: f64) -> f64 {
        let step = log10(self.limit);
        if waiting <= step {
            self.limit + 6.0 * step
        } else if waiting < 3.0 * step {
            self.limit + step
        } else if waiting > 6.0 * step {
            self.lower()
        } else {
            self.limit
        }
    }

    fn lower(&self) -> f64 {
        match self.settings.backoff {
            Some(backoff) => self.limit * backoff,
            None => self.limit - log10(self.limit),
        }
    }
}

impl LimitAlgorithm for VegasLimit {
    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn sample(&mut self, sample: &Sample) {
        let aim = match sample.dropped {
            true => self.lower(),
            false => self.served(sample),
        };
        let aim = aim.clamp(self.settings.min as f64, self.settings.max as f64);
        self.limit += (aim - self.limit) * self.settings.smoothing;
    }
}

/// Returns how many of `limit` calls wait, if those that do not are answered after `fastest`.
fn waiting(limit: f64, fastest: Duration, latency: Duration) -> f64 {
    if latency.is_zero() {
        return 0.0;
    }
    (limit * (1.0 - fastest.as_secs_f64() / latency.as_secs_f64())).ceil()
}

/// Returns the whole part of log10, at least 1.
fn log10(limit: f64) -> f64 {
    limit.log10().floor().max(1.0)
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use super::*;

    fn vegas(initial: usize, max: usize) -> VegasLimit {
        let settings = Vegas {
            initial,
            max,
            ..Vegas::default()
        };
        VegasLimit::new(settings, 1)
    }

    #[test]
    fn the_first_call_is_the_measure_and_equals_grow_the_limit() {
        let mut vegas = vegas(10, 20);

        vegas.sample(&served(10, 10));
        assert_eq!(vegas.limit(), 10);

        vegas.sample(&served(10, 11));
        assert_eq!(vegas.limit(), 16);
    }

    #[test]
    fn shrinks_while_many_wait_and_holds_while_some_do() {
        let mut vegas = vegas(10, 20);
        vegas.sample(&served(10, 10));

        vegas.sample(&served(14, 10));
        assert_eq!(vegas.limit(), 10);

        vegas.sample(&served(50, 10));
        assert_eq!(vegas.limit(), 9);
    }

    #[test]
    fn smoothing_makes_a_part_of_a_change_at_once() {
        let mut vegas = VegasLimit::new(
            Vegas {
                initial: 100,
                max: 200,
                smoothing: 0.5,
                backoff: Some(0.5),
                ..Vegas::default()
            },
            1,
        );
        vegas.sample(&served(10, 100));

        vegas.sample(&served(20, 100));
        assert_eq!(vegas.limit(), 75);
        vegas.sample(&served(20, 100));
        assert_eq!(vegas.limit(), 56);
    }

    #[test]
    fn large_limits_take_large_steps() {
        let mut vegas = vegas(10_000, 20_000);

        vegas.sample(&served(10, 5_000));
        assert_eq!(vegas.limit(), 10_000);
        vegas.sample(&served(10, 6_000));
        assert_eq!(vegas.limit(), 10_024);
    }

    #[test]
    fn does_not_grow_while_less_than_half_is_in_use() {
        let mut vegas = vegas(10, 20);
        vegas.sample(&served(10, 10));

        vegas.sample(&served(10, 4));

        assert_eq!(vegas.limit(), 10);
    }

    #[test]
    fn a_drop_lowers_the_limit_and_is_no_measure() {
        let mut vegas = vegas(10, 20);
        vegas.sample(&served(10, 10));

        vegas.sample(&drop(1, 10));
        assert_eq!(vegas.limit(), 9);
        vegas.sample(&served(10, 10));
        assert_eq!(vegas.limit(), 15);
    }

    #[test]
    fn the_measure_is_taken_anew_now_and_then() {
        let mut vegas = vegas(10, 10);
        vegas.sample(&served(1, 10));
        for _ in 0..300 {
            vegas.sample(&served(10, 1));
        }

        assert_eq!(vegas.fastest, Some(Duration::from_millis(10)));
    }
}
