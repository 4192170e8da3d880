use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{ConfigError, nanos};

/// How far the delays of a [`Backoff`](crate::Backoff) are spread by chance.
///
/// Calls that failed together come back together, fail together again, and so on: however far
/// apart the rounds are, each of them is a burst. Jitter takes the burst apart. The AWS
/// architecture blog ([Exponential Backoff And Jitter][blog]) has the experiment: 100 clients
/// write to one row, and whoever was overtaken reads it and tries again. From base 5 ms to 2 s, on
/// the average of 100 runs of ours:
///
/// | | calls | until all are done |
/// | --- | --- | --- |
/// | exponential, `None` | 1,853 | 62.9 s |
/// | exponential, `Equal` | | |
/// | exponential, `Full` | 797 | 4.9 s |
/// | [decorrelated](crate::Backoff::decorrelated), `None` | 1,002 | 4.5 s |
///
/// # Which to choose
///
/// - `Full`, unless there is a reason: the least work for those who are called, and nearly the
///   shortest time. A delay may be close to zero.
/// - `Equal` where a retry at once is known to be useless, so that a part of the delay must stand.
/// - `Proportional` where the delays are more or less agreed upon (a poll, a schedule in a
///   contract), and only the beat of many clients is to be broken.
/// - `None` where there is one client, or where the delays are random already: decorrelated
///   delays, and a closure that draws for itself.
///
/// [blog]: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Jitter {
    /// The delay as it is.
    #[default]
    None,
    /// Uniform in 0 ..= delay.
    Full,
    /// Uniform in delay / 2 ..= delay.
    Equal,
    /// Uniform in delay x (1 - p) ..= delay x (1 + p), with `p` in 0.0..=1.0. What is above the
    /// backoff's maximum becomes the maximum.
    Proportional(f64),
}

impl Jitter {
    /// Returns in what range `delay` is spread.
    pub(super) fn range(self, delay: Duration) -> RangeInclusive<Duration> {
        match self {
            Self::None => delay..=delay,
            Self::Full => Duration::ZERO..=delay,
            Self::Equal => delay / 2..=delay,
            Self::Proportional(p) if p > 0.0 => {
                let p = p.min(1.0);
                scale(delay, 1.0 - p)..=scale(delay, 1.0 + p)
            }
            // A `p` that is not a number is here, too.
            Self::Proportional(_) => delay..=delay,
        }
    }

    /// Returns whether any delay is changed.
    pub(super) fn spreads(self) -> bool {
        match self {
            Self::None => false,
            Self::Full | Self::Equal => true,
            Self::Proportional(p) => p > 0.0,
        }
    }

    pub(super) fn validate(self) -> Result<(), ConfigError> {
        match self {
            Self::Proportional(p) => ConfigError::check_ratio("backoff.jitter", p),
            Self::None | Self::Full | Self::Equal => Ok(()),
        }
    }
}

/// Returns `delay` x `factor` to the nanosecond, at most what there is room for, and zero where
/// the product is not a number.
pub(super) fn scale(delay: Duration, factor: f64) -> Duration {
    Duration::from_nanos((nanos(delay) as f64 * factor).round() as u64)
}
