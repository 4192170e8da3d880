use std::time::Duration;

use watertight_core::{ConfigError, nanos};
use watertight_ratelimit::Quota;

/// Half of what a double counts exactly, so that two of them can be added.
const MAX_TOKENS: u64 = 1 << 52;

/// The longest period in the unit of a [`Rate`]: a script multiplies and divides by it exactly.
const MAX_PERIOD: u64 = 1 << 51;

/// Up to here a period is counted in nanoseconds where it has to be.
const MAX_NANOS: u64 = 1 << 50;

/// The clock of Redis ticks in microseconds.
const NANOS_PER_TICK: u64 = 1_000;

/// Returns a number of tokens that a script can reckon with. What is more than that is more than
/// any quota has.
pub(crate) const fn bounded(tokens: u64) -> u64 {
    if tokens < MAX_TOKENS {
        tokens
    } else {
        MAX_TOKENS
    }
}

/// Returns how many ticks of the clock there are to `time`, rounded up.
pub(crate) const fn ticks(time: Duration) -> u64 {
    nanos(time).div_ceil(NANOS_PER_TICK)
}

/// Returns the time of so many ticks of the clock.
pub(crate) const fn time(ticks: u64) -> Duration {
    Duration::from_micros(ticks)
}

/// Checks that scripts can reckon with all numbers of the `quotas`, which are valid.
pub(crate) fn validate(quotas: &[Quota]) -> Result<(), ConfigError> {
    for quota in quotas {
        let most = quota.capacity().saturating_add(quota.max_debt());
        if most >= MAX_TOKENS {
            let allowed = "below 2^52 in Redis, which counts in doubles";
            return Err(ConfigError::new("quota.burst + debt", most, allowed));
        }
        let rate = Rate::of(quota);
        if rate.tokens >= MAX_TOKENS {
            let allowed = "below 2^52 in Redis, which counts in doubles";
            return Err(ConfigError::new("quota.tokens", quota.tokens(), allowed));
        }
        if rate.period > MAX_PERIOD {
            let allowed = "at most 2^51 microseconds in Redis, which counts in doubles";
            return Err(ConfigError::new("quota.period", quota.period(), allowed));
        }
    }
    Ok(())
}

/// The rate of a quota in whole numbers: a token has `period` parts, and `tokens` parts come in each
/// tick of the clock, so that no rate is rounded.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Rate {
    pub(crate) period: u64,
    pub(crate) tokens: u64,
    /// Whether the period is in nanoseconds, and the tokens are those of a thousand of them.
    in_nanos: bool,
}

impl Rate {
    pub(crate) fn of(quota: &Quota) -> Self {
        let (tokens, period) = (quota.tokens(), nanos(quota.period()));
        let in_nanos = !period.is_multiple_of(NANOS_PER_TICK)
            && period <= MAX_NANOS
            && tokens < MAX_TOKENS / NANOS_PER_TICK;
        if in_nanos {
            return Self {
                period,
                tokens: tokens * NANOS_PER_TICK,
                in_nanos,
            };
        }
        // A period that is too long for nanoseconds is longer by less than a clock errs.
        Self {
            period: period.div_ceil(NANOS_PER_TICK),
            tokens,
            in_nanos,
        }
    }

    /// Returns what tells apart the quotas of one key: the period, so that a quota that is changed
    /// finds what was taken of it.
    pub(crate) fn label(&self) -> String {
        let unit = if self.in_nanos { "n" } else { "" };
        format!("{}{unit}", self.period)
    }

    /// Returns how many parts there are to `tokens`.
    pub(crate) fn parts(&self, tokens: u64) -> u128 {
        u128::from(tokens) * u128::from(self.period)
    }

    /// Returns the whole tokens and the parts of one more that come in `time`.
    pub(crate) fn coming_in(&self, time: Duration) -> (u128, u64) {
        let parts =
            time.as_nanos().saturating_mul(u128::from(self.tokens)) / u128::from(NANOS_PER_TICK);
        let period = u128::from(self.period.max(1));
        // The remainder is less than the period.
        (parts / period, (parts % period) as u64)
    }

    /// Returns how long it takes until so many parts have come, rounded up to the nanosecond.
    pub(crate) fn time_of(&self, parts: u128) -> Duration {
        let nanos = parts.saturating_mul(u128::from(NANOS_PER_TICK));
        let nanos = nanos.div_ceil(u128::from(self.tokens.max(1)));
        Duration::from_nanos(nanos.try_into().unwrap_or(u64::MAX))
    }
}

/// Makes labels of which no two are the same: quotas may have the same period.
pub(crate) fn distinct(labels: impl Iterator<Item = String>) -> Vec<String> {
    let mut distinct: Vec<String> = Vec::new();
    for mut label in labels {
        while distinct.contains(&label) {
            label.push('\'');
        }
        distinct.push(label);
    }
    distinct
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_found_again_by_its_period_whatever_its_tokens() {
        for (quota, label) in [
            (Quota::per_second(10), "1000000"),
            (Quota::per_second(1_000), "1000000"),
            (Quota::per_day(1), "86400000000"),
            (Quota::new(3, Duration::from_nanos(1_500)), "1500n"),
            (Quota::new(3, Duration::from_micros(1_500)), "1500"),
        ] {
            assert_eq!(Rate::of(&quota).label(), label, "{quota:?}");
        }
    }

    #[test]
    fn quotas_of_one_period_have_labels_of_their_own() {
        let labels = ["60", "1", "60", "60"].map(String::from);

        assert_eq!(distinct(labels.into_iter()), ["60", "1", "60'", "60''"]);
    }

    #[test]
    fn a_rate_in_nanoseconds_is_as_exact_as_any() {
        let rate = Rate::of(&Quota::new(3, Duration::from_nanos(1_500)));

        assert_eq!((rate.period, rate.tokens), (1_500, 3_000));
        assert_eq!(rate.time_of(rate.parts(3)), Duration::from_nanos(1_500));
        assert_eq!(rate.coming_in(Duration::from_nanos(1_250)), (2, 750));
    }

    #[test]
    fn what_scripts_can_reckon_with_passes_and_the_next_number_does_not() {
        let burst = |burst| Quota::new(1, Duration::from_secs(1)).burst(burst).debt(0);
        assert_eq!(validate(&[burst(MAX_TOKENS - 1)]), Ok(()));
        assert!(validate(&[burst(MAX_TOKENS)]).is_err());

        let period = |micros| Quota::new(1, Duration::from_micros(micros));
        assert_eq!(validate(&[period(MAX_PERIOD)]), Ok(()));
        assert!(validate(&[period(MAX_PERIOD + 1)]).is_err());
    }
}
