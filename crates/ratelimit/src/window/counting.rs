use watertight_core::ConfigError;

use crate::Quotas;

/// How a sliding window knows what was taken in the last period.
///
/// ERRORS
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Counting {
    /// By two counters: of the period that runs, and of the one before it, which is taken to have
    /// come in evenly and fades as the present one goes on.
    ///
    /// It costs 8 bytes a key where both counters fit in a word, and is the default because that
    /// is enough for callers who do not mean to cheat. One who does gets up to twice the limit less
    /// one within a period, by taking all at the end of one and the rest through the next.
    #[default]
    Approximate,
    /// By so many counters to a period, of which only the oldest fades: 1 is as approximate, and 10
    /// leave a tenth of the error.
    ///
    /// With k of them no more than the limit passes in any time of period x (1 - 1/k), whatever
    /// comes. It costs 8 bytes a counter.
    Buckets(u32),
    /// By a log of what was taken and when: no more than the limit passes in any period, and no
    /// call is refused that could have passed.
    ///
    /// It costs up to 16 bytes for each token of the limit, as far as callers use it.
    Exact,
}

impl Counting {
    /// The most counters that a period is divided in.
    pub const MOST_BUCKETS: u32 = 1_000;

    /// The highest limit of an exact window: 16 MB of log for each key.
    pub const MOST_LOGGED: u64 = 1_000_000;

    /// Checks the counting, and whether windows of `quotas` can be counted so.
    ///
    /// A window has no burst: what may be taken at once is what may be taken in a period.
    ///
    /// # Errors
    ///
    /// What [`Quotas::validate`] says, or the first of buckets, burst and tokens that is out of its
    /// range, with its value and what is allowed.
    pub fn validate(&self, quotas: &Quotas) -> Result<(), ConfigError> {
        quotas.validate()?;
        if let Self::Buckets(buckets) = *self
            && !(1..=Self::MOST_BUCKETS).contains(&buckets)
        {
            let allowed = format!("in 1..={}", Self::MOST_BUCKETS);
            return Err(ConfigError::new("counting.buckets", buckets, allowed));
        }
        for quota in quotas.as_slice() {
            if quota.capacity() != quota.tokens() {
                let allowed = format!("unset, or the {} tokens of the window", quota.tokens());
                return Err(ConfigError::new("quota.burst", quota.capacity(), allowed));
            }
            if *self == Self::Exact && quota.tokens() > Self::MOST_LOGGED {
                let allowed = format!("in 1..={} for an exact window", Self::MOST_LOGGED);
                return Err(ConfigError::new("quota.tokens", quota.tokens(), allowed));
            }
        }
        Ok(())
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;
    use crate::Quota;

    #[test]
    fn says_which_setting_of_a_window_cannot_be() {
        let quota = Quota::per_minute(100);
        for (counting, quotas, said) in [
            (Counting::Buckets(0), quota.into(), "counting.buckets"),
            (Counting::Buckets(1_001), quota.into(), "counting.buckets"),
            (Counting::Approximate, quota.burst(200).into(), "quota.burst"),
            (
                Counting::Exact,
                quota.and(Quota::per_hour(1_000_001)),
                "quota.tokens",
            ),
            (Counting::Exact, Quota::per_hour(0).into(), "quota.tokens"),
        ] {
            let error = counting.validate(&quotas).unwrap_err();
            assert_eq!(error.field(), said, "{counting:?} of {quotas:?}");
        }
        for counting in [Counting::Approximate, Counting::Buckets(1), Counting::Exact] {
            assert_eq!(counting.validate(&quota.burst(100).into()), Ok(()));
        }
    }
}
