use std::time::Duration;

use watertight_core::ConfigError;

/// How a breaker goes back to full traffic once its probes have succeeded.
///
/// A backend that has just come back has cold caches and few connections. All calls at once may
/// put it down again; a ramp gives it time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(
    feature = "serde",
    serde(rename_all = "snake_case", deny_unknown_fields)
)]
pub enum Recovery {
    /// Closes at once.
    #[default]
    Immediate,
    /// Admits a growing share of the calls, and closes at the end.
    Ramp(Ramp),
}

impl Recovery {
    /// Admits 10 % of the calls at first and all of them after `over`, growing evenly.
    #[must_use]
    pub const fn ramp(over: Duration) -> Self {
        Self::Ramp(Ramp {
            over,
            curve: Curve::Linear,
        })
    }

    /// Sets how the share grows. Changes nothing where there is no ramp.
    #[must_use]
    pub const fn curve(self, curve: Curve) -> Self {
        match self {
            Self::Immediate => Self::Immediate,
            Self::Ramp(Ramp { over, .. }) => Self::Ramp(Ramp { over, curve }),
        }
    }

    /// Returns the share of the calls that passes at `at` if the recovery began at `since`, both in
    /// nanoseconds, or `None` once it is over.
    pub(crate) fn share(&self, at: u64, since: u64) -> Option<f64> {
        match self {
            Self::Immediate => None,
            Self::Ramp(ramp) => ramp.share(Duration::from_nanos(at.saturating_sub(since))),
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::Ramp(ramp) if ramp.over.is_zero() => Err(ConfigError::new(
                "recovery",
                ramp.over,
                "a ramp over more than 0 s, or `Recovery::Immediate`",
            )),
            Self::Immediate | Self::Ramp(_) => Ok(()),
        }
    }
}

/// A ramp of [`Recovery`].
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Ramp {
    /// How long it takes to the top.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub over: Duration,
    /// How the share grows.
    #[cfg_attr(feature = "serde", serde(default))]
    pub curve: Curve,
}

impl Ramp {
    /// The share that a ramp begins with.
    const START: f64 = 0.1;

    /// Returns the share of the calls that is admitted after `elapsed`, or `None` at the top.
    pub(crate) fn share(&self, elapsed: Duration) -> Option<f64> {
        let done = elapsed.as_secs_f64() / self.over.as_secs_f64();
        if elapsed >= self.over || done >= 1.0 {
            return None;
        }
        let rest = 1.0 - Self::START;
        Some(match self.curve {
            Curve::Linear => Self::START + rest * done,
            Curve::Quadratic => Self::START + rest * done * done,
            Curve::Exponential => Self::START.powf(1.0 - done),
        })
    }
}

/// How the admitted share grows from 10 % to 100 % over a [`Ramp`].
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Curve {
    /// By the same amount in the same time: 55 % half-way.
    #[default]
    Linear,
    /// Slowly at first: 32.5 % half-way.
    Quadratic,
    /// By the same factor in the same time: 31.6 % half-way, and slowest to begin with.
    Exponential,
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn share(curve: Curve, elapsed: Duration) -> Option<f64> {
        let Recovery::Ramp(ramp) = Recovery::ramp(10 * SECOND).curve(curve) else {
            unreachable!("a ramp stays a ramp");
        };
        ramp.share(elapsed)
    }

    #[test]
    fn every_curve_goes_from_a_tenth_to_all() {
        for (curve, half_way) in [
            (Curve::Linear, 0.55),
            (Curve::Quadratic, 0.325),
            (Curve::Exponential, 0.316_227_766),
        ] {
            let start = share(curve, Duration::ZERO).unwrap();
            let middle = share(curve, 5 * SECOND).unwrap();
            assert!((start - 0.1).abs() < 1e-9, "{curve:?} starts at {start}");
            assert!(
                (middle - half_way).abs() < 1e-9,
                "{curve:?} is at {middle} half-way"
            );
            assert_eq!(share(curve, 10 * SECOND), None);
        }
    }

    #[test]
    fn a_curve_never_falls() {
        for curve in [Curve::Linear, Curve::Quadratic, Curve::Exponential] {
            let shares: Vec<f64> = (0..100)
                .filter_map(|tenth| share(curve, SECOND * tenth / 10))
                .collect();
            assert_eq!(shares.len(), 100);
            assert!(shares.is_sorted(), "{curve:?}");
        }
    }
}
