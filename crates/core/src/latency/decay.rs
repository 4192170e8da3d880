use std::time::Duration;

use tokio::time::Instant;

use crate::nanos;

/// How samples fade: what is recorded now weighs twice as much as what was recorded a half-life
/// ago.
///
/// Nothing has to fade as time passes. Instead, new samples weigh ever more, and when their weight
/// has doubled a new epoch begins, in which one unit is two of the epoch before.
#[derive(Debug)]
pub(super) struct Decay {
    start: Instant,
    /// How many ticks to 2^64 nanoseconds.
    scale: u64,
}

/// When a sample is recorded.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// How many half-lives have passed.
    pub(super) epoch: u64,
    /// What a sample weighs in this epoch's unit: [`UNIT`] at its beginning, twice that at its end.
    pub(super) weight: u64,
}

/// What a sample weighs at the beginning of an epoch.
pub(super) const UNIT: u64 = 1 << UNIT_BITS;
const UNIT_BITS: u32 = 8;

/// An epoch has 2^16 ticks.
const TICK_BITS: u32 = 16;

/// The shortest half-life, in nanoseconds. With a shorter one `scale` would not fit.
const SHORTEST: u64 = 100_000;

impl Decay {
    /// Starts the first epoch. The half-life in force is a 32nd shorter than the one that is
    /// promised, so that no rounding can break a promise.
    pub(super) fn new(half_life: Duration, now: Instant) -> Self {
        let half_life = nanos(half_life);
        let half_life = (half_life - half_life / 32).max(SHORTEST);
        Self {
            start: now,
            scale: ((1 << (64 + TICK_BITS)) / u128::from(half_life)) as u64,
        }
    }

    pub(super) fn at(&self, now: Instant) -> Moment {
        let elapsed = nanos(now.saturating_duration_since(self.start));
        let ticks = ((u128::from(elapsed) * u128::from(self.scale)) >> 64) as u64;
        Moment {
            epoch: ticks >> TICK_BITS,
            weight: weight(ticks & ((1 << TICK_BITS) - 1)),
        }
    }
}

/// `UNIT` times 2^(tick / 2^16) by the parabola through its ends and its middle, which is off by
/// 0.3 % at most.
const fn weight(tick: u64) -> u64 {
    // 4 sqrt(2) - 5 and 6 - 4 sqrt(2), in 2^-16.
    const LINEAR: u64 = 43_048;
    const SQUARE: u64 = 22_488;
    // Rounds to the nearest.
    const HALF: u64 = 1 << (TICK_BITS - UNIT_BITS - 1);

    let growth = (tick * (LINEAR + ((SQUARE * tick) >> TICK_BITS))) >> TICK_BITS;
    UNIT + ((growth + HALF) >> (TICK_BITS - UNIT_BITS))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_double_in_an_epoch() {
        for tick in 0..1 << TICK_BITS {
            let exact = UNIT as f64 * (tick as f64 / f64::from(1 << TICK_BITS)).exp2();

            assert!((weight(tick) as f64 - exact).abs() <= 0.003 * exact + 1.0);
        }
        assert_eq!(weight(0), UNIT);
        assert_eq!(weight((1 << TICK_BITS) - 1), 2 * UNIT);
    }

    #[test]
    fn an_epoch_is_a_half_life_less_a_32nd() {
        let start = Instant::now();
        let decay = Decay::new(Duration::from_secs(32), start);

        assert_eq!(decay.at(start + Duration::from_millis(30_999)).epoch, 0);
        assert_eq!(decay.at(start + Duration::from_millis(31_001)).epoch, 1);
    }

    #[test]
    fn extremes_do_not_overflow() {
        let start = Instant::now();
        let far = start + Duration::from_secs(1 << 40);

        assert_eq!(Decay::new(Duration::MAX, start).at(start).epoch, 0);
        assert_eq!(Decay::new(Duration::MAX, start).at(far).epoch, 1);
        assert!(Decay::new(Duration::ZERO, start).at(far).epoch > 1 << 47);
        assert_eq!(Decay::new(Duration::ZERO, far).at(start).epoch, 0);
    }
}
