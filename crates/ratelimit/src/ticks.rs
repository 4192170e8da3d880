use std::time::Duration;

use watertight_core::nanos;

/// For how long a word counts: a hundred years. Then time stands still.
pub(crate) const HORIZON: Duration = Duration::from_secs(36_525 * 86_400);

const HORIZON_NANOS: u64 = nanos(HORIZON);

/// Counts time in ticks: the time in which a token comes has 2^k of them.
///
/// Since the unit is a part of a token and not of a second, no rate has to be rounded: a token is a
/// whole number of ticks, and which tick it is follows from the nanoseconds since an epoch, each
/// time anew, so that no error adds up. k is chosen so that a word lasts for the [`HORIZON`]: 2 for 10^9 tokens a second,
/// 25 for 100, 48 for one a day.
#[derive(Clone, Debug)]
pub(crate) struct Ticks {
    /// The k.
    bits: u32,
    /// Ticks a nanosecond, times 2^shift, rounded up: a token is there when it is due, and not a
    /// nanosecond later. It has its highest bit set, so that in a hundred years it errs by two
    /// ticks at most.
    multiplier: u64,
    shift: u32,
    /// 2^127 / `multiplier`, rounded down.
    inverse: u64,
}

impl Ticks {
    /// The least k: a quarter of a token.
    const MIN_BITS: u32 = 2;

    /// Returns how many tokens there is room for in a word beyond those of the horizon.
    pub(crate) fn room(tokens: u64, period: Duration) -> u64 {
        let most = (1 << (u64::BITS - Self::MIN_BITS)) - 1;
        u64::saturating_sub(most, tokens_in_all(tokens, period))
    }

    /// Makes the ticks of a rate of `tokens` a `period`, where words may be `reserve` tokens ahead of
    /// the time. That is at most what there is [`room`](Self::room) for.
    pub(crate) fn new(tokens: u64, period: Duration, reserve: u64) -> Self {
        let in_all = tokens_in_all(tokens, period).saturating_add(reserve);
        let bits = in_all.leading_zeros();

        let (tokens, period) = (u128::from(tokens.max(1)), u128::from(nanos(period).max(1)));
        let mut scale = (tokens as u64).leading_zeros() + period.ilog2();
        if (tokens << scale) / period < 1 << 63 {
            scale += 1;
        }
        let multiplier = (tokens << scale).div_ceil(period).min(u64::MAX.into()) as u64;
        Self {
            bits,
            multiplier,
            shift: scale.saturating_sub(bits),
            inverse: ((1 << 127) / u128::from(multiplier)).min(u64::MAX.into()) as u64,
        }
    }

    /// Returns the last tick that has come by so many nanoseconds since the epoch. At the epoch it is
    /// 1: 0 is a word that was never written.
    #[inline]
    pub(crate) fn at(&self, nanos: u64) -> u64 {
        let nanos = nanos.min(HORIZON_NANOS);
        ((u128::from(nanos) * u128::from(self.multiplier)) >> self.shift) as u64 + 1
    }

    /// Returns how many ticks there are to `tokens`.
    #[inline]
    pub(crate) const fn of(&self, tokens: u64) -> u64 {
        if tokens.leading_zeros() < self.bits {
            return u64::MAX;
        }
        tokens << self.bits
    }

    /// Returns how many whole tokens there are to `ticks`.
    #[inline]
    pub(crate) const fn tokens(&self, ticks: u64) -> u64 {
        ticks >> self.bits
    }

    /// Returns how many of these ticks there are to `ticks` of another rate, rounded up.
    pub(crate) fn convert(&self, ticks: u64, other: &Self) -> u64 {
        match self.bits.checked_sub(other.bits) {
            Some(more) if ticks.leading_zeros() < more => u64::MAX,
            Some(more) => ticks << more,
            None => ticks.div_ceil(1 << (other.bits - self.bits)),
        }
    }

    /// Returns the first nanosecond since the epoch at which `tick` has come.
    #[inline]
    pub(crate) fn nanos_at(&self, tick: u64) -> u64 {
        // Multiplying by the inverse leads to at most two less. A division would take as long as
        // all the rest of a decision.
        let passed = u128::from(tick.saturating_sub(1));
        let guess = (passed * u128::from(self.inverse)) >> (127 - self.shift);
        let guess = guess.min(HORIZON_NANOS.into()) as u64;
        (guess..guess + 2)
            .find(|&nanos| self.at(nanos) >= tick)
            .unwrap_or(guess + 2)
    }
}

/// Returns how many tokens come until the horizon, and one more for what is rounded up.
fn tokens_in_all(tokens: u64, period: Duration) -> u64 {
    let tokens = u128::from(tokens) * u128::from(HORIZON_NANOS);
    let tokens = tokens / u128::from(nanos(period).max(1)) + 2;
    tokens.try_into().unwrap_or(u64::MAX)
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quota::tests::any_quota;

    #[test]
    fn a_token_has_as_many_ticks_as_a_hundred_years_have_room_for() {
        for (tokens, seconds, bits) in [
            (1_000_000_000, 1, 2),
            (123_456_789, 1, 5),
            (100, 1, 25),
            (1, 86_400, 48),
        ] {
            let period = Duration::from_secs(seconds);
            let ticks = Ticks::new(tokens, period, 2 * tokens);
            assert_eq!(ticks.bits, bits, "{tokens} in {seconds} s");
        }
    }

    #[test]
    fn a_token_is_there_when_it_is_due_and_not_before() {
        for tokens in [1, 3, 7, 100, 123_456_789, 300_000_000, 1_000_000_000] {
            let ticks = Ticks::new(tokens, Duration::from_secs(1), 2 * tokens);

            for seconds in [1, 1_000, 86_400 * 365 * 99] {
                let due = ticks.of(tokens * seconds) + 1;
                let nanos = seconds * 1_000_000_000;
                assert!(ticks.at(nanos) >= due, "{tokens}/s, {seconds} s");
                assert!(ticks.at(nanos - 1) < due, "{tokens}/s, {seconds} s");
            }
        }
    }

    #[test]
    fn after_the_horizon_time_stands_still() {
        let ticks = Ticks::new(1, Duration::from_secs(1), 2);

        assert!(ticks.at(HORIZON_NANOS - 1) < ticks.at(HORIZON_NANOS));
        assert_eq!(ticks.at(HORIZON_NANOS + 1), ticks.at(HORIZON_NANOS));
        assert_eq!(ticks.at(u64::MAX), ticks.at(HORIZON_NANOS));
    }

    #[test]
    fn what_is_converted_is_the_same_in_tokens_and_never_less() {
        let ticks = |tokens| Ticks::new(tokens, Duration::from_secs(1), 0);
        let (fine, coarse) = (ticks(1), ticks(1_000_000));

        assert_eq!(coarse.convert(fine.of(7), &fine), coarse.of(7));
        assert_eq!(coarse.convert(fine.of(7) + 1, &fine), coarse.of(7) + 1);
        assert_eq!(fine.convert(coarse.of(7), &coarse), fine.of(7));
        assert_eq!(fine.convert(u64::MAX / 2, &coarse), u64::MAX);
        assert_eq!(fine.convert(fine.of(7), &fine), fine.of(7));
    }

    proptest! {
        /// At any time in a hundred years, whatever the rate: at most half a token too early, and
        /// never too late.
        #[test]
        fn no_rate_drifts(quota in any_quota(), nanos in 0..=HORIZON_NANOS) {
            let (tokens, period) = (quota.tokens(), quota.period());
            let reserve = quota.capacity() + quota.max_debt();
            let ticks = Ticks::new(tokens, period, reserve);

            let period = u128::from(super::nanos(period));
            let product = u128::from(nanos) * u128::from(tokens);
            let parts = ((product % period) << ticks.bits) / period;
            let exact = ((product / period) << ticks.bits) + parts + 1;

            let tick = u128::from(ticks.at(nanos));
            prop_assert!((exact..=exact + 2).contains(&tick), "{tick} and not {exact}");
        }

        #[test]
        fn knows_the_nanosecond_at_which_a_tick_comes(
            quota in any_quota(),
            nanos in 0..=HORIZON_NANOS,
            share in 0.0..1.0,
        ) {
            let reserve = quota.capacity() + quota.max_debt();
            let ticks = Ticks::new(quota.tokens(), quota.period(), reserve);
            let any = (ticks.at(HORIZON_NANOS) as f64 * share) as u64;

            for tick in [any, ticks.at(nanos), ticks.at(nanos) + 1] {
                let first = ticks.nanos_at(tick);
                if first <= HORIZON_NANOS {
                    prop_assert!(ticks.at(first) >= tick);
                    prop_assert!(first == 0 || ticks.at(first - 1) < tick);
                }
            }
        }

        #[test]
        fn whatever_is_reserved_there_is_room_until_the_horizon(quota in any_quota()) {
            let (tokens, period) = (quota.tokens(), quota.period());
            let most = Ticks::room(tokens, period);

            for reserve in [0, 1, most / 2, most] {
                let ticks = Ticks::new(tokens, period, reserve);
                prop_assert!(ticks.bits >= Ticks::MIN_BITS);
                let last = ticks.at(HORIZON_NANOS);
                prop_assert!(last.checked_add(ticks.of(reserve)).is_some());
            }
        }
    }
}
