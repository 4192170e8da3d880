use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode};

use crate::Trigger;

/// The settings of a hedge that are plain data.
///
/// The budget is not among them: it is a handle, which other layers may share.
///
/// ```
/// use watertight_hedge::{HedgeConfig, Trigger};
///
/// let config = HedgeConfig {
///     trigger: Trigger::Percentile(0.95),
///     ..HedgeConfig::default()
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct HedgeConfig {
    /// When a hedge is sent. A further one is sent after the same time again.
    pub trigger: Trigger,
    /// How many hedges one call may send, at most [`MOST_HEDGES`](Self::MOST_HEDGES). 0 turns
    /// hedging off.
    pub max_hedges: u32,
    /// How many calls must have been answered before latencies are known, at least 1. Before that,
    /// a percentile sends no hedge.
    pub min_samples: u32,
    /// Whether hedges are sent, or only counted.
    pub mode: Mode,
}

impl HedgeConfig {
    /// Two calls in a hundred: enough to cut the tail off, and well within the budget.
    pub const PERCENTILE: f64 = 0.98;
    /// A second copy takes nearly all there is to gain; each further one adds as much load.
    pub const MAX_HEDGES: u32 = 1;
    /// As many as gRPC allows, whose calls have five attempts at most.
    pub const MOST_HEDGES: u32 = 4;
    /// With fewer, the 98th percentile is the slowest call or the next to it.
    pub const MIN_SAMPLES: u32 = 100;
    /// How soon latencies are forgotten: a call counts half after this time. Long enough to have
    /// a tail of some calls a second, short enough to follow a service that slows down.
    pub const HALF_LIFE: Duration = Duration::from_secs(30);

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.trigger.validate()?;
        if self.max_hedges > Self::MOST_HEDGES {
            let allowed = format!("at most {}", Self::MOST_HEDGES);
            return Err(ConfigError::new("max_hedges", self.max_hedges, allowed));
        }
        if self.min_samples == 0 {
            return Err(ConfigError::new("min_samples", 0, "at least 1"));
        }
        Ok(())
    }

    /// The fields as a snapshot shows them.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("trigger", format!("{:?}", self.trigger)),
            ("max_hedges", self.max_hedges.to_string()),
            ("min_samples", self.min_samples.to_string()),
        ])
    }
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            trigger: Trigger::Percentile(Self::PERCENTILE),
            max_hedges: Self::MAX_HEDGES,
            min_samples: Self::MIN_SAMPLES,
            mode: Mode::Enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut HedgeConfig)) -> String {
        let mut config = HedgeConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(HedgeConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.max_hedges = 5),
            "`max_hedges` is 5, but must be at most 4"
        );
        assert_eq!(
            refused(|config| config.min_samples = 0),
            "`min_samples` is 0, but must be at least 1"
        );
        for p in [0.0, -0.1, 1.1, f64::NAN] {
            let message = refused(|config| config.trigger = Trigger::Percentile(p));
            assert!(message.starts_with("`trigger.percentile` is "), "{message}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        for (text, trigger) in [
            (r#"{"percentile": 0.95}"#, Trigger::Percentile(0.95)),
            (
                r#"{"after": "50ms"}"#,
                Trigger::After(Duration::from_millis(50)),
            ),
        ] {
            let config: HedgeConfig =
                serde_json::from_str(&format!(r#"{{"trigger": {text}}}"#)).unwrap();
            assert_eq!(config.trigger, trigger);
            assert_eq!(config.max_hedges, HedgeConfig::MAX_HEDGES);

            let text = serde_json::to_string(&config).unwrap();
            assert_eq!(serde_json::from_str::<HedgeConfig>(&text).unwrap(), config);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn an_unknown_field_is_refused() {
        let error = serde_json::from_str::<HedgeConfig>(r#"{"max_hegdes": 1}"#);

        assert!(error.unwrap_err().to_string().contains("max_hegdes"));
    }
}
