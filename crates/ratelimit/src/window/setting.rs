use watertight_core::ConfigError;

use crate::{Quota, Quotas};

/// How a sliding window knows what was taken in the last period.
///
/// How wrong each way is, with a limit of 100 in 60 s. Of the calls there are three figures: how
/// many percent of them pass though 100 have passed in the 60 s before, how many percent are
/// refused though fewer have, and how many percent more pass in all than by an exact count.
///
/// | calls | [`Approximate`](Self::Approximate) | [`Buckets(10)`](Self::Buckets) | [`Exact`](Self::Exact) |
/// | --- | --- | --- | --- |
/// | at random, 0.5 times the limit | 0.0, 0.0, +0.0 | 0.0, 0.0, +0.0 | 0.0, 0.0, +0.0 |
/// | at random, 0.9 times the limit | 5.1, 1.0, +0.7 | 0.9, 1.5, +0.1 | 0.0, 0.0, +0.0 |
/// | at random, 1.0 times the limit | 10.8, 3.7, +1.1 | 2.5, 4.3, +0.1 | 0.0, 0.0, +0.0 |
/// | at random, 1.1 times the limit | 12.7, 7.3, +1.0 | 3.9, 8.1, +0.1 | 0.0, 0.0, +0.0 |
/// | at random, 2.0 times the limit | 3.7, 35.2, -0.3 | 3.1, 36.2, -0.3 | 0.0, 0.0, +0.0 |
/// | 10 s on and 20 s off, 0.9 times the limit | 0.0, 17.6, -15.5 | 0.8, 2.9, -0.9 | 0.0, 0.0, +0.0 |
/// | the most that a cheat gets within 60s | 199 | 199 | 100 |
/// | the most that a cheat gets within 54s | 189 | 100 | 100 |
/// | the longest until all of it is back | 120s | 66s | 60s |
///
/// The cheat takes all of the limit just before a counter ends, and then whatever fades from it.
/// Twice the limit goes to show that it matters little which calls are refused when half of them
/// are: in all the same number passes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum SlidingWindow {
    /// By two counters: of the period that runs, and of the one before it, which is taken to have
    /// come in evenly and fades as the present one goes on.
    ///
    /// With one quota whose counters fit in a word it costs 16 bytes a key and no lock, which is why
    /// it is the default. In no time of a period passes twice the limit; callers that come in bursts
    /// get less than the limit.
    #[default]
    Approximate,
    /// By so many counters to a period, from 2 to 1,000, of which only the oldest fades.
    ///
    /// With k of them no more than the limit passes in any time of period x (1 - 1/k), whatever
    /// comes: for a limit that has to hold, take a period that is as much longer. It costs 8 bytes a
    /// counter.
    Buckets(u32),
    /// By a log of what was taken when: no more than the limit passes in any period, and no call is
    /// refused that could have passed.
    ///
    /// It costs 16 bytes for each token of the limit, 16 KB of a limit of 1,000. Each key has a log of
    /// its own, made whole with its first call and kept as long as the key is; without keys there is
    /// one, made with the layer. Penalties that take more than the limit make it larger.
    ///
    /// What of a log was never written to most machines do not lay out: with glibc on Linux, 65,536
    /// keys that came once are 285 MB, of a limit of 1,000 and of 4,000 alike.
    Exact,
}

impl SlidingWindow {
    /// The most counters that a period is divided in. Above it, a log is the better choice.
    pub const MAX_BUCKETS: u32 = 1_000;

    /// The highest limit of an exact window, and the most debt: 16 MB of log for each.
    pub const MAX_LOGGED: u64 = 1_000_000;

    /// What the limits of exact windows may come to for all [`max_keys`] together: 4 GB of logs. Who
    /// brings as many keys as there is room for makes them all.
    ///
    /// [`max_keys`]: crate::RateLimitConfig::max_keys
    pub const MAX_LOGGED_FOR_KEYS: u64 = 1 << 28;

    /// Checks the setting, and whether valid `quotas` can be counted so.
    ///
    /// A window has no burst: what may be taken at once is what may be taken in a period.
    ///
    /// # Errors
    ///
    /// The first of buckets, burst, tokens and debt that is out of its range, with its value and what is
    /// allowed.
    pub fn validate(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        if let Self::Buckets(buckets) = *self
            && !(2..=Self::MAX_BUCKETS).contains(&buckets)
        {
            let allowed = format!("in 2..={}", Self::MAX_BUCKETS);
            return Err(ConfigError::new("algorithm.buckets", buckets, allowed));
        }
        quotas
            .as_slice()
            .iter()
            .try_for_each(|quota| self.validate_quota(quota))
    }

    fn validate_quota(self, quota: &Quota) -> Result<(), ConfigError> {
        let tokens = quota.tokens();
        if quota.capacity() != tokens {
            let allowed = format!("none, or the {tokens} tokens of the window");
            return Err(ConfigError::new("quota.burst", quota.capacity(), allowed));
        }
        if self == Self::Exact && tokens > Self::MAX_LOGGED {
            let allowed = format!("in 1..={} for an exact window", Self::MAX_LOGGED);
            return Err(ConfigError::new("quota.tokens", tokens, allowed));
        }
        if self == Self::Exact && quota.max_debt() > Self::MAX_LOGGED {
            let allowed = format!("at most {} for an exact window", Self::MAX_LOGGED);
            return Err(ConfigError::new("quota.debt", quota.max_debt(), allowed));
        }
        Ok(())
    }

    /// Checks whether so many keys can each have valid `quotas`.
    pub(crate) fn validate_keys(self, keys: usize, quotas: &Quotas) -> Result<(), ConfigError> {
        if self != Self::Exact {
            return Ok(());
        }
        let tokens: u64 = quotas.as_slice().iter().map(Quota::tokens).sum();
        let most = Self::MAX_LOGGED_FOR_KEYS / tokens;
        if keys as u64 > most {
            let allowed = format!("in 1..={most} for exact windows of {tokens} tokens a key");
            return Err(ConfigError::new("max_keys", keys, allowed));
        }
        Ok(())
    }

    /// Returns how many buckets a period is divided in.
    pub(super) const fn buckets(self) -> u32 {
        match self {
            Self::Approximate | Self::Exact => 1,
            Self::Buckets(buckets) => buckets,
        }
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn says_which_setting_of_a_window_cannot_be() {
        use SlidingWindow::{Approximate, Buckets, Exact};

        let quota = Quota::per_minute(100);
        let too_many = quota.and(Quota::per_hour(1_000_001));
        for (window, quotas, said) in [
            (Buckets(1), quota.into(), "algorithm.buckets"),
            (Buckets(1_001), quota.into(), "algorithm.buckets"),
            (Approximate, quota.burst(200).into(), "quota.burst"),
            (Exact, too_many.clone(), "quota.tokens"),
            (Exact, quota.debt(1_000_001).into(), "quota.debt"),
        ] {
            let error = window.validate(&quotas).unwrap_err();
            assert_eq!(error.field(), said, "{window:?} of {quotas:?}");
        }
        for window in [Approximate, Buckets(2), Exact] {
            assert_eq!(window.validate(&quota.burst(100).into()), Ok(()));
        }
        assert_eq!(Approximate.validate(&too_many), Ok(()));
    }
}
