use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};

use crate::BreakerConfig;

/// Draws how long a breaker stays open.
#[derive(Debug)]
pub(crate) struct OpenTime {
    rng: SmallRng,
}

impl OpenTime {
    pub(crate) fn new(seed: Option<u64>) -> Self {
        Self {
            rng: SmallRng::seed_from_u64(seed.unwrap_or_else(rand::random)),
        }
    }

    /// Returns the next open time, after `failed` half-opens in a row that did not close:
    /// `open_for` x factor ^ `failed`, at most the maximum, and then up to the jitter more or less.
    pub(crate) fn draw(&mut self, config: &BreakerConfig, failed: u32) -> Duration {
        let time = match config.open_backoff {
            None => config.open_for,
            Some(backoff) => {
                let exponent = i32::try_from(failed).unwrap_or(i32::MAX);
                scale(config.open_for, backoff.factor.powi(exponent)).min(backoff.max)
            }
        };
        if config.open_jitter == 0.0 {
            return time;
        }
        let shift = self
            .rng
            .random_range(-config.open_jitter..=config.open_jitter);
        scale(time, 1.0 + shift)
    }
}

fn scale(time: Duration, factor: f64) -> Duration {
    Duration::try_from_secs_f64(time.as_secs_f64() * factor).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::OpenBackoff;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> BreakerConfig {
        BreakerConfig {
            open_for: SECOND,
            open_backoff: Some(OpenBackoff {
                factor: 2.0,
                max: 10 * SECOND,
            }),
            seed: Some(7),
            ..BreakerConfig::default()
        }
    }

    fn draw(config: &BreakerConfig, failed: u32) -> Duration {
        OpenTime::new(config.seed).draw(config, failed)
    }

    #[test]
    fn grows_by_its_factor_up_to_its_maximum() {
        let times: Vec<u64> = (0..6)
            .map(|failed| draw(&config(), failed).as_secs())
            .collect();

        assert_eq!(times, [1, 2, 4, 8, 10, 10]);
        assert_eq!(draw(&config(), u32::MAX), 10 * SECOND);
    }

    #[test]
    fn is_constant_without_backoff() {
        let config = BreakerConfig {
            open_backoff: None,
            ..config()
        };

        assert_eq!(draw(&config, 0), SECOND);
        assert_eq!(draw(&config, 1_000), SECOND);
    }

    #[test]
    fn jitter_spreads_to_both_sides_and_repeats_with_its_seed() {
        let config = BreakerConfig {
            open_jitter: 0.3,
            open_backoff: None,
            ..config()
        };
        let series = || -> Vec<Duration> {
            let mut times = OpenTime::new(config.seed);
            (0..1_000).map(|_| times.draw(&config, 0)).collect()
        };

        let times = series();

        assert!(
            times
                .iter()
                .all(|time| (0.7..=1.3).contains(&time.as_secs_f64()))
        );
        assert!(times.iter().any(|time| time.as_secs_f64() < 0.75));
        assert!(times.iter().any(|time| time.as_secs_f64() > 1.25));
        assert_eq!(times, series());
    }

    #[test]
    fn the_longest_durations_do_not_overflow() {
        let config = BreakerConfig {
            open_for: Duration::MAX,
            open_jitter: 1.0,
            open_backoff: None,
            ..config()
        };

        assert!(draw(&config, 3) > SECOND);
    }
}
