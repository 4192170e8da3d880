use std::time::Duration;

use watertight_core::{ConfigError, nanos};

use crate::Quotas;
use crate::ticks::{HORIZON, Ticks};

/// How much may come in a time: tokens that come in evenly over each period, and how many of them
/// can be saved up.
///
/// ```
/// use std::time::Duration;
/// use watertight_ratelimit::Quota;
///
/// let quota = Quota::per_second(100).burst(200);
/// assert_eq!(quota.window(), Duration::from_secs(2));
///
/// // Ten a second, but no more than a thousand an hour.
/// let quotas = Quota::per_second(10).and(Quota::per_hour(1_000));
/// assert!(quotas.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Quota {
    tokens: u64,
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    period: Duration,
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    burst: Option<u64>,
    #[cfg_attr(
        feature = "serde",
        serde(default, skip_serializing_if = "Option::is_none")
    )]
    debt: Option<u64>,
}

impl Quota {
    /// The longest period: as long as a word counts time, a hundred years.
    pub const MAX_PERIOD: Duration = HORIZON;

    /// Allows `tokens` in each `period`.
    #[must_use]
    pub const fn new(tokens: u64, period: Duration) -> Self {
        Self {
            tokens,
            period,
            burst: None,
            debt: None,
        }
    }

    /// Allows `tokens` a second.
    #[must_use]
    pub const fn per_second(tokens: u64) -> Self {
        Self::new(tokens, Duration::from_secs(1))
    }

    /// Allows `tokens` a minute.
    #[must_use]
    pub const fn per_minute(tokens: u64) -> Self {
        Self::new(tokens, Duration::from_secs(60))
    }

    /// Allows `tokens` an hour.
    #[must_use]
    pub const fn per_hour(tokens: u64) -> Self {
        Self::new(tokens, Duration::from_secs(3_600))
    }

    /// Allows `tokens` a day.
    #[must_use]
    pub const fn per_day(tokens: u64) -> Self {
        Self::new(tokens, Duration::from_secs(86_400))
    }

    /// Sets how many tokens may be saved up, and so how many may be taken at once.
    ///
    /// The default is what comes in one period, so that who comes back after a pause has a period's
    /// worth: with a second's quota, one second of the rate. In any time there pass at most the
    /// burst and what comes in that time.
    #[must_use]
    pub const fn burst(mut self, burst: u64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Sets how far below nothing a penalty may take what is left, by default as far as the burst.
    ///
    /// It is a bound so that nobody is shut out for ever: from there it takes the time of `debt`
    /// tokens until there is one to be had again.
    #[must_use]
    pub const fn debt(mut self, debt: u64) -> Self {
        self.debt = Some(debt);
        self
    }

    /// Adds a second quota, which has to be met too.
    #[must_use]
    pub fn and(self, quota: Self) -> Quotas {
        Quotas::from(self).and(quota)
    }

    /// Returns how many tokens come in a [`period`](Self::period).
    #[must_use]
    pub const fn tokens(&self) -> u64 {
        self.tokens
    }

    /// Returns the time in which [`tokens`](Self::tokens) come.
    #[must_use]
    pub const fn period(&self) -> Duration {
        self.period
    }

    /// Returns how many tokens can be taken at once.
    #[must_use]
    pub const fn capacity(&self) -> u64 {
        match self.burst {
            Some(burst) => burst,
            None => self.tokens,
        }
    }

    /// Returns how far below nothing a penalty may take what is left.
    #[must_use]
    pub const fn max_debt(&self) -> u64 {
        match self.debt {
            Some(debt) => debt,
            None => self.capacity(),
        }
    }

    /// Returns the time in which as many tokens come as can be saved up.
    #[must_use]
    pub fn window(&self) -> Duration {
        if self.capacity() == self.tokens {
            return self.period;
        }
        let nanos = u128::from(self.capacity()) * u128::from(nanos(self.period));
        Duration::from_nanos(
            nanos
                .div_ceil(u128::from(self.tokens.max(1)))
                .try_into()
                .unwrap_or(u64::MAX),
        )
    }

    /// Checks the quota.
    ///
    /// A bucket is one word of 64 bits, which has to hold the tokens of a hundred years, the burst
    /// and the debt, down to a quarter of a token: together they are at most 2^62.
    ///
    /// # Errors
    ///
    /// The first of tokens, period, burst and debt that is out of its range, with its value and
    /// what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let &Self { tokens, period, .. } = self;
        if period.is_zero() || period > Self::MAX_PERIOD {
            let allowed = "above zero and at most 36525 days";
            return Err(ConfigError::new("quota.period", period, allowed));
        }
        let most = nanos(period);
        if tokens == 0 || tokens > most {
            let allowed =
                format!("in 1..={most} in a period of {period:?} (10^9 a second at most)");
            return Err(ConfigError::new("quota.tokens", tokens, allowed));
        }
        let room = Ticks::room(tokens, period);
        let most = if self.debt.is_some() {
            room - 1
        } else {
            room / 2
        };
        if !(1..=most).contains(&self.capacity()) {
            let allowed = format!("in 1..={most}: {WORD}");
            return Err(ConfigError::new("quota.burst", self.capacity(), allowed));
        }
        let most = room - self.capacity();
        if self.max_debt() > most {
            let allowed = format!("at most {most}: {WORD}");
            return Err(ConfigError::new("quota.debt", self.max_debt(), allowed));
        }
        Ok(())
    }
}

const WORD: &str = "with the tokens of a hundred years they have to fit in 62 bits";

#[cfg(all(test, not(watertight_loom)))]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Quotas of all sizes, the small as often as the large.
    pub(crate) fn any_quota() -> impl Strategy<Value = Quota> {
        let nanos = prop_oneof![
            Just(1_000_000_000_u64),
            Just(86_400_000_000_000),
            (0..62_u32).prop_flat_map(|bits| (1 << bits)..(2_u64 << bits)),
        ];
        let nanos = nanos.prop_map(|period| period.min(HORIZON.as_nanos() as u64));
        (nanos, any::<[u64; 3]>(), 0..64_u32, 0..64_u32, 0..64_u32).prop_map(
            |(period, [tokens, burst, debt], few, small, low)| {
                let tokens = (tokens >> few) % period + 1;
                let period = Duration::from_nanos(period);
                let room = Ticks::room(tokens, period);
                let burst = (burst >> small) % (room / 2) + 1;
                let debt = (debt >> low) % (room - burst);
                Quota::new(tokens, period).burst(burst).debt(debt)
            },
        )
    }

    fn refused(quota: Quota) -> String {
        quota
            .validate()
            .expect_err("a quota that cannot be")
            .to_string()
    }

    #[test]
    fn the_rates_of_the_world_are_valid() {
        for quota in [
            Quota::per_day(1),
            Quota::new(1, Duration::from_secs(10)),
            Quota::new(1, Quota::MAX_PERIOD),
            Quota::per_hour(1_000).burst(1),
            Quota::per_second(123_456_789),
            Quota::per_second(1_000_000_000),
            Quota::per_second(1_000_000_000).burst(700_000_000_000_000_000),
            Quota::per_day(1).burst(1).debt(0),
        ] {
            assert_eq!(quota.validate(), Ok(()), "{quota:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_limits_of_the_word() {
        for (quota, message) in [
            (
                Quota::new(1, Duration::ZERO),
                "`quota.period` is 0ns, but must be above zero and at most 36525 days",
            ),
            (
                Quota::new(1, Duration::MAX),
                "`quota.period` is 18446744073709551615.999999999s, but must be above zero and at \
                 most 36525 days",
            ),
            (
                Quota::per_second(0),
                "`quota.tokens` is 0, but must be in 1..=1000000000 in a period of 1s (10^9 a \
                 second at most)",
            ),
            (
                Quota::per_second(1_000_000_001),
                "`quota.tokens` is 1000000001, but must be in 1..=1000000000 in a period of 1s \
                 (10^9 a second at most)",
            ),
            (
                Quota::per_second(1_000_000_000).burst(1_000_000_000_000_000_000),
                "`quota.burst` is 1000000000000000000, but must be in 1..=727963009213693950: with \
                 the tokens of a hundred years they have to fit in 62 bits",
            ),
            (
                Quota::per_second(1).burst(0),
                "`quota.burst` is 0, but must be in 1..=2305843007635813950: with the tokens of a \
                 hundred years they have to fit in 62 bits",
            ),
            (
                Quota::per_second(1).debt(u64::MAX),
                "`quota.debt` is 18446744073709551615, but must be at most 4611686015271627900: \
                 with the tokens of a hundred years they have to fit in 62 bits",
            ),
        ] {
            assert_eq!(refused(quota), message);
        }
    }

    #[test]
    fn a_window_is_the_time_in_which_the_burst_comes() {
        for (quota, seconds) in [
            (Quota::per_minute(100), 60),
            (Quota::per_minute(100).burst(50), 30),
            (Quota::per_second(10).burst(25), 3),
            (Quota::per_day(1).burst(7), 7 * 86_400),
        ] {
            let window = quota.window().as_secs_f64().ceil();
            assert_eq!(window as u64, seconds, "{quota:?}");
        }
    }

    proptest! {
        #[test]
        fn what_fits_the_word_is_valid(quota in any_quota()) {
            prop_assert_eq!(quota.validate(), Ok(()));
        }

        #[test]
        fn no_quota_makes_the_check_panic(tokens: u64, nanos: u64, burst: u64, debt: Option<u64>) {
            let quota = Quota::new(tokens, Duration::from_nanos(nanos)).burst(burst);
            let _ = quota.validate();
            let _ = debt.map_or(quota, |debt| quota.debt(debt)).validate();
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes() {
        let quotas = Quota::per_second(10)
            .burst(20)
            .and(Quota::per_hour(1_000).debt(5));

        let text = serde_json::to_string(&quotas).unwrap();
        assert_eq!(
            text,
            r#"[{"tokens":10,"period":"1s","burst":20},{"tokens":1000,"period":"1h","debt":5}]"#
        );
        assert_eq!(serde_json::from_str::<Quotas>(&text).unwrap(), quotas);
        assert!(serde_json::from_str::<Quota>(r#"{"tokens":1,"period":"1s","brust":2}"#).is_err());
    }
}
