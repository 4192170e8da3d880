use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::jitter::scale;
use crate::ConfigError;

/// How delays grow from one retry to the next.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Constant(Duration),
    Linear(Span),
    Exponential(Span, f64),
    Fibonacci(Span),
    Decorrelated(Span),
    Schedule(Arc<[Duration]>),
    Custom(Custom),
}

/// Where delays begin, and what they do not exceed.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub(super) struct Span {
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub(super) base: Duration,
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub(super) max: Duration,
}

/// A delay that is computed by the user, from the number of the retry.
#[derive(Clone)]
pub(super) struct Custom(pub(super) Arc<dyn Fn(u32) -> Duration + Send + Sync>);

impl Shape {
    /// Returns in what range the delay before `retry` lies, where 0 is the first retry, and
    /// `previous` the delay before the one before it.
    pub(super) fn range(&self, retry: u32, previous: Option<Duration>) -> RangeInclusive<Duration> {
        let delay = match self {
            Self::Constant(delay) => *delay,
            Self::Linear(span) => span.base.saturating_mul(retry.saturating_add(1)),
            Self::Exponential(span, factor) => {
                let exponent = i32::try_from(retry).unwrap_or(i32::MAX);
                scale(span.base, factor.powi(exponent))
            }
            Self::Fibonacci(span) => fibonacci(*span, retry),
            Self::Decorrelated(span) => {
                let previous = previous.unwrap_or(span.base);
                return span.base..=previous.saturating_mul(3);
            }
            Self::Schedule(delays) => scheduled(delays, retry),
            Self::Custom(Custom(delay)) => delay(retry),
        };
        delay..=delay
    }

    /// Returns the longest delay, jitter included.
    pub(super) fn max(&self) -> Duration {
        match self {
            Self::Linear(span)
            | Self::Exponential(span, _)
            | Self::Fibonacci(span)
            | Self::Decorrelated(span) => span.max,
            Self::Constant(_) | Self::Schedule(_) | Self::Custom(_) => Duration::MAX,
        }
    }

    pub(super) fn is_random(&self) -> bool {
        matches!(self, Self::Decorrelated(_))
    }

    pub(super) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Exponential(_, factor) if !(1.0..f64::INFINITY).contains(factor) => {
                let allowed = "at least 1.0, and finite";
                Err(ConfigError::new("backoff.factor", factor, allowed))
            }
            Self::Linear(span)
            | Self::Exponential(span, _)
            | Self::Fibonacci(span)
            | Self::Decorrelated(span) => span.validate(),
            Self::Schedule(delays) if delays.is_empty() => {
                let allowed = "at least one delay";
                Err(ConfigError::new("backoff.schedule", delays, allowed))
            }
            Self::Constant(_) | Self::Schedule(_) | Self::Custom(_) => Ok(()),
        }
    }
}

impl Span {
    fn validate(self) -> Result<(), ConfigError> {
        if self.base.is_zero() {
            let allowed = "more than 0 s, since nothing grows out of 0";
            return Err(ConfigError::new("backoff.base", self.base, allowed));
        }
        if self.max < self.base {
            let allowed = format!("at least the base, {:?}", self.base);
            return Err(ConfigError::new("backoff.max", self.max, allowed));
        }
        Ok(())
    }
}

impl fmt::Debug for Custom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Custom")
    }
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

fn fibonacci(span: Span, retry: u32) -> Duration {
    let (mut delay, mut next) = (span.base, span.base);
    for _ in 0..retry {
        if delay >= span.max || delay.is_zero() {
            break;
        }
        (delay, next) = (next, delay.saturating_add(next));
    }
    delay
}

fn scheduled(delays: &[Duration], retry: u32) -> Duration {
    let retry = usize::try_from(retry).unwrap_or(usize::MAX);
    let delay = delays.get(retry).or_else(|| delays.last());
    delay.copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn span(base: Duration, max: Duration) -> Span {
        Span { base, max }
    }

    /// The delay of a shape that leaves nothing to chance.
    fn delay(shape: &Shape, retry: u32) -> Duration {
        let (low, high) = shape.range(retry, None).into_inner();
        assert_eq!(low, high);
        low.min(shape.max())
    }

    fn millis(shape: &Shape) -> Vec<u128> {
        (0..7)
            .map(|retry| delay(shape, retry).as_millis())
            .collect()
    }

    #[test]
    fn every_shape_grows_in_its_way() {
        let span = span(100 * MS, 1_000 * MS);
        for (shape, expected) in [
            (Shape::Constant(100 * MS), [100; 7]),
            (Shape::Linear(span), [100, 200, 300, 400, 500, 600, 700]),
            (
                Shape::Exponential(span, 2.0),
                [100, 200, 400, 800, 1_000, 1_000, 1_000],
            ),
            (
                Shape::Exponential(span, 1.1),
                [100, 110, 121, 133, 146, 161, 177],
            ),
            (Shape::Exponential(span, 1.0), [100; 7]),
            (
                Shape::Fibonacci(span),
                [100, 100, 200, 300, 500, 800, 1_000],
            ),
            (
                Shape::Schedule([Duration::ZERO, 50 * MS, 7 * MS].into()),
                [0, 50, 7, 7, 7, 7, 7],
            ),
            (
                Shape::Custom(Custom(Arc::new(|retry| retry * MS))),
                [0, 1, 2, 3, 4, 5, 6],
            ),
        ] {
            assert_eq!(millis(&shape), expected, "{shape:?}");
        }
    }

    #[test]
    fn the_last_retries_of_all_wait_for_the_maximum() {
        for max in [100 * MS, Duration::from_secs(3_600)] {
            let span = span(MS, max);
            for shape in [
                Shape::Linear(span),
                Shape::Exponential(span, 2.0),
                Shape::Exponential(span, f64::MAX),
                Shape::Fibonacci(span),
            ] {
                for retry in [10_000_000, u32::MAX - 1, u32::MAX] {
                    assert_eq!(delay(&shape, retry), max, "{shape:?}");
                }
            }
        }
    }

    #[test]
    fn decorrelated_delays_lie_between_the_base_and_three_times_the_last() {
        let shape = Shape::Decorrelated(span(5 * MS, 2_000 * MS));

        assert_eq!(shape.range(0, None), 5 * MS..=15 * MS);
        assert_eq!(shape.range(1, Some(10 * MS)), 5 * MS..=30 * MS);
        assert_eq!(
            shape.range(u32::MAX, Some(Duration::MAX)),
            5 * MS..=Duration::MAX
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_field() {
        let ok = span(MS, MS);
        for (shape, field) in [
            (Shape::Linear(span(Duration::ZERO, MS)), "backoff.base"),
            (Shape::Linear(span(2 * MS, MS)), "backoff.max"),
            (Shape::Fibonacci(span(Duration::ZERO, MS)), "backoff.base"),
            (Shape::Fibonacci(span(2 * MS, MS)), "backoff.max"),
            (
                Shape::Decorrelated(span(Duration::ZERO, MS)),
                "backoff.base",
            ),
            (Shape::Decorrelated(span(2 * MS, MS)), "backoff.max"),
            (
                Shape::Exponential(span(Duration::ZERO, MS), 2.0),
                "backoff.base",
            ),
            (Shape::Exponential(span(2 * MS, MS), 2.0), "backoff.max"),
            (Shape::Exponential(ok, 0.99), "backoff.factor"),
            (Shape::Exponential(ok, f64::NAN), "backoff.factor"),
            (Shape::Exponential(ok, f64::INFINITY), "backoff.factor"),
            (Shape::Schedule([].into()), "backoff.schedule"),
        ] {
            assert_eq!(shape.validate().unwrap_err().field(), field, "{shape:?}");
        }
    }

    #[test]
    fn delays_may_be_zero() {
        for shape in [
            Shape::Constant(Duration::ZERO),
            Shape::Schedule([Duration::ZERO].into()),
            Shape::Custom(Custom(Arc::new(|_| Duration::ZERO))),
        ] {
            assert_eq!(shape.validate(), Ok(()));
            assert_eq!(delay(&shape, 3), Duration::ZERO);
        }
    }

    proptest! {
        /// Against sums and products step by step, in 128 bits.
        #[test]
        fn growth_is_what_repeated_arithmetic_gives(
            base in 1..3_600_000_000_000u64,
            max in 1..1_000_000_000_000_000u64,
            factor in 1..5u32,
        ) {
            let max = max.max(base);
            let span = span(Duration::from_nanos(base), Duration::from_nanos(max));
            let (mut linear, mut exponential) = (u128::from(base), u128::from(base));
            let (mut fibonacci, mut next) = (u128::from(base), u128::from(base));

            for retry in 0..60 {
                for (shape, expected) in [
                    (Shape::Linear(span), linear),
                    (Shape::Exponential(span, f64::from(factor)), exponential),
                    (Shape::Fibonacci(span), fibonacci),
                ] {
                    let expected = expected.min(max.into());
                    prop_assert_eq!(delay(&shape, retry).as_nanos(), expected, "{:?}", shape);
                }
                linear += u128::from(base);
                exponential = (exponential * u128::from(factor)).min(u64::MAX.into());
                (fibonacci, next) = (next, fibonacci + next);
            }
        }

        #[test]
        fn a_schedule_stays_at_its_last(delays in vec(any::<Duration>(), 1..9), retry: u32) {
            let shape = Shape::Schedule(delays.clone().into());

            let mut forever = delays.iter().chain(std::iter::repeat(&delays[delays.len() - 1]));
            let retry = retry % 20;

            prop_assert_eq!(Some(&delay(&shape, retry)), forever.nth(retry as usize));
            prop_assert_eq!(Some(&delay(&shape, u32::MAX)), delays.last());
        }
    }
}
