use std::time::Duration;

use watertight_core::ConfigError;

use super::Forecast;

/// What is asked of a service: how often it is called, and how long calls take.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct Demand {
    /// How many calls come in a second, above 0.
    pub rate: f64,
    /// How long a call takes on average, without waiting.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub service_time: Duration,
    /// The standard deviation of the service times over their mean, 0 to 1,000.
    #[cfg_attr(feature = "serde", serde(default = "variation"))]
    pub variation: f64,
}

impl Demand {
    /// That of exponential service times: measured ones are seldom far from it, and a guess that is
    /// too high costs some slots, while one that is too low costs the target.
    pub const VARIATION: f64 = 1.0;
    /// More calls in flight than this are not sized: that is a mistake in the units.
    pub const MAX_LOAD: f64 = 1e6;

    /// Creates the demand of `rate` calls a second that take `service_time` each on average, with
    /// the variation of exponential times.
    #[must_use]
    pub const fn new(rate: f64, service_time: Duration) -> Self {
        Self {
            rate,
            service_time,
            variation: Self::VARIATION,
        }
    }

    /// Sets the standard deviation of the service times over their mean. Default: 1.
    #[must_use]
    pub const fn variation(mut self, variation: f64) -> Self {
        self.variation = variation;
        self
    }

    /// Returns how many calls are in flight on average if all are served: Little's law.
    #[must_use]
    pub fn load(&self) -> f64 {
        self.rate * self.service_time.as_secs_f64()
    }

    /// Returns what becomes of the calls if at most `limit` are in flight.
    ///
    /// # Errors
    ///
    /// If `limit` or a field is out of its range.
    pub fn forecast(&self, limit: usize) -> Result<Forecast, ConfigError> {
        self.validate()?;
        if limit == 0 {
            return Err(ConfigError::new("limit", limit, "at least 1"));
        }
        Ok(Forecast::new(*self, limit))
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if !(self.rate > 0.0 && self.rate.is_finite()) {
            return Err(ConfigError::new(
                "rate",
                self.rate,
                "above 0.0 calls a second",
            ));
        }
        if self.service_time.is_zero() {
            let allowed = "longer than 0 s";
            return Err(ConfigError::new("service_time", self.service_time, allowed));
        }
        if !(0.0..=1e3).contains(&self.variation) {
            let allowed = "in 0.0..=1000.0";
            return Err(ConfigError::new("variation", self.variation, allowed));
        }
        if self.load() > Self::MAX_LOAD {
            let allowed = "so low that at most a million calls are in flight";
            return Err(ConfigError::new("rate", self.rate, allowed));
        }
        Ok(())
    }
}

#[cfg(feature = "serde")]
const fn variation() -> f64 {
    Demand::VARIATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_calls_are_in_flight_as_little_says() {
        let demand = Demand::new(200.0, Duration::from_millis(100));

        assert!((demand.load() - 20.0).abs() < 1e-9);
    }

    #[test]
    fn every_field_is_checked() {
        let good = Demand::new(200.0, Duration::from_millis(100));
        assert_eq!(good.validate(), Ok(()));

        for (field, bad) in [
            ("rate", Demand { rate: 0.0, ..good }),
            (
                "rate",
                Demand {
                    rate: f64::NAN,
                    ..good
                },
            ),
            (
                "rate",
                Demand {
                    rate: f64::INFINITY,
                    ..good
                },
            ),
            ("rate", Demand { rate: 1e8, ..good }),
            (
                "service_time",
                Demand {
                    service_time: Duration::ZERO,
                    ..good
                },
            ),
            ("variation", good.variation(-1.0)),
            ("variation", good.variation(1e4)),
            ("variation", good.variation(f64::NAN)),
        ] {
            assert_eq!(bad.validate().unwrap_err().field(), field, "{bad:?}");
            assert!(bad.forecast(10).is_err());
        }
        assert_eq!(good.forecast(0).unwrap_err().field(), "limit");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes() {
        let text = r#"{"rate": 200.0, "service_time": "100ms"}"#;
        let demand: Demand = serde_json::from_str(text).unwrap();
        assert_eq!(demand, Demand::new(200.0, Duration::from_millis(100)));

        let text = serde_json::to_string(&demand.variation(0.5)).unwrap();
        assert_eq!(
            serde_json::from_str::<Demand>(&text).unwrap(),
            demand.variation(0.5)
        );
    }
}
