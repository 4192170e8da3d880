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
    let delay = delays.get(retry).or(delays.last());
    delay.copied().unwrap_or_default()
}
