use std::time::Duration;

use watertight_core::ConfigError;

use super::Forecast;

/// What callers bear.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Target {
    /// No call waits, and at most this share is refused, above 0.0 and below 1.0.
    Refused(f64),
    /// At most this share of the calls has to wait, above 0.0 and below 1.0.
    Waiting(f64),
    /// The mean wait is at most this, and longer than 0 s.
    MeanWait(#[cfg_attr(feature = "serde", serde(with = "humantime_serde"))] Duration),
    /// A share of the calls waits at most for so long.
    Wait {
        /// The share, above 0.0 and below 1.0: 0.99 for the 99th percentile.
        percentile: f64,
        /// How long it may wait.
        #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
        at_most: Duration,
    },
}

impl Target {
    /// Returns whether calls may wait.
    pub(super) const fn has_queue(self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    pub(super) fn is_met(self, forecast: &Forecast) -> bool {
        match self {
            Self::Refused(share) => forecast.refused_without_queue() <= share,
            // The rest is for a queue that ends.
            _ if forecast.utilization() >= 1.0 => false,
            Self::Waiting(share) => forecast.waiting() <= share,
            Self::MeanWait(time) => forecast.mean_wait() <= time,
            Self::Wait {
                percentile,
                at_most,
            } => forecast.waiting_longer_than(at_most) <= 1.0 - percentile,
        }
    }

    /// Checks that the target can be met at all.
    pub(super) fn validate(self) -> Result<(), ConfigError> {
        let check_share = |field, share: f64| {
            if share > 0.0 && share < 1.0 {
                return Ok(());
            }
            Err(ConfigError::new(
                field,
                share,
                "a ratio above 0.0 and below 1.0",
            ))
        };
        match self {
            Self::Refused(share) => check_share("refused", share),
            Self::Waiting(share) => check_share("waiting", share),
            Self::Wait { percentile, .. } => check_share("percentile", percentile),
            Self::MeanWait(time) if time.is_zero() => {
                Err(ConfigError::new("mean_wait", time, "longer than 0 s"))
            }
            Self::MeanWait(_) => Ok(()),
        }
    }
}
