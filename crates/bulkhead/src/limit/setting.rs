use std::fmt;
use std::sync::Arc;

use watertight_core::ConfigError;

use super::adaptive::AdaptiveLimit;
use super::aimd::AimdLimit;
use super::gradient::GradientLimit;
use super::learned::at_least_one;
use super::vegas::VegasLimit;
use crate::{Adaptive, Aimd, Gradient, LimitAlgorithm, Sample, Vegas};

/// How many calls may be in flight: a number, or an algorithm that finds it out.
///
/// What the algorithms do, simulated: 16 workers, calls of 10 ms (exponential) that are given up
/// after 100 ms, and 2 and 10 times as many of them as the workers can do. Goodput is the share of
/// what they can do that is served in time, p99 the latency of what is.
///
/// | | goodput at 2x | p99 | goodput at 10x | p99 |
/// | --- | --- | --- | --- | --- |
/// | [`Adaptive`] | 100 % | 50 ms | 100 % | 50 ms |
/// | [`Aimd`] | 67 % | 99 ms | 64 % | 99 ms |
/// | [`Vegas`] | 37 % | 46 ms | 38 % | 46 ms |
/// | [`Gradient`] | 100 % | 62 ms | 99 % | 87 ms |
///
/// Samples wait as [`LimitAlgorithm::may_wait`] lets them. Each handed over as its call ends, they
/// make the same figures to a percent or a millisecond, but for 58 ms of [`Gradient`] at 2x.
///
/// A number makes one, and so do the settings of an algorithm:
///
/// ```
/// use watertight_bulkhead::{Aimd, Limit};
///
/// let fixed = Limit::from(50);
/// let aimd = Limit::from(Aimd { max: 500, ..Aimd::default() });
/// assert_eq!((fixed.initial(), aimd.initial()), (50, 20));
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Limit {
    /// So many, at least 1.
    Fixed(usize),
    /// As many as keep the service busy, and not many more.
    Adaptive(Adaptive),
    /// As many as go without drops.
    Aimd(Aimd),
    /// As many as hardly wait, measured by the fastest call.
    Vegas(Vegas),
    /// As many as do not make calls slower than they are on average.
    Gradient(Gradient),
    /// What an algorithm of the user's says. It cannot be written to a file.
    #[cfg_attr(feature = "serde", serde(skip))]
    Custom(CustomLimit),
}

impl Limit {
    /// Makes an [`Adaptive`] limit with its defaults: the one to begin with.
    #[must_use]
    pub fn adaptive() -> Self {
        Self::Adaptive(Adaptive::default())
    }

    /// Makes an [`Aimd`] limit with its defaults.
    #[must_use]
    pub fn aimd() -> Self {
        Self::Aimd(Aimd::default())
    }

    /// Makes a [`Vegas`] limit with its defaults.
    #[must_use]
    pub fn vegas() -> Self {
        Self::Vegas(Vegas::default())
    }

    /// Makes a [`Gradient`] limit with its defaults.
    #[must_use]
    pub fn gradient() -> Self {
        Self::Gradient(Gradient::default())
    }

    /// Makes a limit of an algorithm. The closure makes one for each bulkhead that the limit is
    /// for: one for each key, say.
    pub fn custom<A>(make: impl Fn() -> A + Send + Sync + 'static) -> Self
    where
        A: LimitAlgorithm + 'static,
    {
        Self::Custom(CustomLimit(Arc::new(move || Box::new(make()))))
    }

    /// Returns the limit to begin with. That of an [`Adaptive`] one is its first probe's.
    #[must_use]
    pub fn initial(&self) -> usize {
        match self {
            Self::Fixed(limit) => *limit,
            Self::Adaptive(adaptive) => adaptive.first_level(),
            Self::Aimd(aimd) => aimd.initial,
            Self::Vegas(vegas) => vegas.initial,
            Self::Gradient(gradient) => gradient.initial,
            Self::Custom(custom) => at_least_one(custom.make().limit()),
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Fixed(0) => Err(ConfigError::new("limit", 0, "at least 1")),
            Self::Fixed(_) | Self::Custom(_) => Ok(()),
            Self::Adaptive(adaptive) => adaptive.validate(),
            Self::Aimd(aimd) => aimd.validate(),
            Self::Vegas(vegas) => vegas.validate(),
            Self::Gradient(gradient) => gradient.validate(),
        }
    }

    /// Makes the algorithm: to see what it does with samples of one's own traffic, or to put it into
    /// an algorithm that does more. What it draws repeats with the seed.
    ///
    /// ```
    /// use watertight_bulkhead::{Limit, LimitAlgorithm, Sample};
    ///
    /// /// Takes no more than half of the calls of another.
    /// struct Half(Box<dyn LimitAlgorithm>);
    ///
    /// impl LimitAlgorithm for Half {
    ///     fn limit(&self) -> usize {
    ///         self.0.limit() / 2
    ///     }
    ///
    ///     fn sample(&mut self, sample: &Sample) {
    ///         self.0.sample(sample);
    ///     }
    /// }
    ///
    /// let limit = Limit::custom(|| Half(Limit::gradient().algorithm(0)));
    /// assert_eq!(limit.initial(), 10);
    /// ```
    #[must_use]
    pub fn algorithm(&self, seed: u64) -> Box<dyn LimitAlgorithm> {
        match self {
            Self::Fixed(limit) => Box::new(FixedLimit(*limit)),
            Self::Adaptive(adaptive) => Box::new(AdaptiveLimit::new(adaptive.clone())),
            Self::Aimd(aimd) => Box::new(AimdLimit::new(aimd.clone())),
            Self::Vegas(vegas) => Box::new(VegasLimit::new(vegas.clone(), seed)),
            Self::Gradient(gradient) => Box::new(GradientLimit::new(gradient.clone())),
            Self::Custom(custom) => custom.make(),
        }
    }
}

/// An algorithm that learns nothing.
#[derive(Debug)]
struct FixedLimit(usize);

impl LimitAlgorithm for FixedLimit {
    fn limit(&self) -> usize {
        self.0
    }

    fn sample(&mut self, _: &Sample) {}
}

/// The number in front of a bulkhead is mostly a literal, and that is an `i32`. A negative one is
/// 0, which [`Limit::validate`] refuses.
impl From<i32> for Limit {
    fn from(limit: i32) -> Self {
        Self::Fixed(usize::try_from(limit).unwrap_or(0))
    }
}

impl From<usize> for Limit {
    fn from(limit: usize) -> Self {
        Self::Fixed(limit)
    }
}

impl From<Adaptive> for Limit {
    fn from(settings: Adaptive) -> Self {
        Self::Adaptive(settings)
    }
}

impl From<Aimd> for Limit {
    fn from(settings: Aimd) -> Self {
        Self::Aimd(settings)
    }
}

impl From<Vegas> for Limit {
    fn from(settings: Vegas) -> Self {
        Self::Vegas(settings)
    }
}

impl From<Gradient> for Limit {
    fn from(settings: Gradient) -> Self {
        Self::Gradient(settings)
    }
}

/// Makes algorithms of the user's. Made by [`Limit::custom`].
#[derive(Clone)]
pub struct CustomLimit(Arc<Make>);

type Make = dyn Fn() -> Box<dyn LimitAlgorithm> + Send + Sync;

impl CustomLimit {
    fn make(&self) -> Box<dyn LimitAlgorithm> {
        (self.0)()
    }
}

/// Two are equal if they are one.
impl PartialEq for CustomLimit {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for CustomLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CustomLimit")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(limit: impl Into<Limit>) -> String {
        limit.into().validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        for limit in [
            Limit::from(1),
            Limit::adaptive(),
            Limit::aimd(),
            Limit::vegas(),
            Limit::gradient(),
        ] {
            assert_eq!(limit.validate(), Ok(()), "{limit:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(refused(-3), "`limit` is 0, but must be at least 1");
        assert_eq!(
            refused(Aimd {
                max: 10,
                ..Aimd::default()
            }),
            "`limit.max` is 10, but must be at least `limit.min`, 20"
        );
        assert_eq!(
            refused(Aimd {
                timeout: std::time::Duration::ZERO,
                ..Aimd::default()
            }),
            "`limit.timeout` is 0ns, but must be above zero"
        );
        assert_eq!(
            refused(Vegas {
                smoothing: f64::NAN,
                ..Vegas::default()
            }),
            "`limit.smoothing` is NaN, but must be a ratio above 0.0 and up to 1.0"
        );
        assert_eq!(
            refused(Gradient {
                initial: 7,
                ..Gradient::default()
            }),
            "`limit.initial` is 7, but must be in 20..=200, from `limit.min` to `limit.max`"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        for (text, expected) in [
            (r#"{"fixed": 50}"#, Limit::from(50)),
            (r#"{"adaptive": {}}"#, Limit::adaptive()),
            (r#"{"vegas": {}}"#, Limit::vegas()),
            (
                r#"{"aimd": {"timeout": "3s"}}"#,
                Limit::from(Aimd {
                    timeout: std::time::Duration::from_secs(3),
                    ..Aimd::default()
                }),
            ),
        ] {
            let limit: Limit = serde_json::from_str(text).unwrap();
            assert_eq!(limit, expected);

            let text = serde_json::to_string(&limit).unwrap();
            assert_eq!(serde_json::from_str::<Limit>(&text).unwrap(), limit);
        }
    }
}
