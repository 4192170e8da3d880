use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode};

/// The settings of a layer that passes deadlines on.
///
/// ```
/// use std::time::Duration;
/// use watertight_timeout::PropagateDeadlineConfig;
///
/// let config = PropagateDeadlineConfig {
///     least: Duration::from_millis(20),
///     ..PropagateDeadlineConfig::default()
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct PropagateDeadlineConfig {
    /// What is kept of the time that remains, for the way back and for what is to be done with the
    /// answer.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub reserve: Duration,
    /// The least time in which the next service can do something useful. A call that has less is
    /// not made.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub least: Duration,
    /// The most time that a call is said to have, above zero and at least [`least`](Self::least):
    /// that of the timeout around it, or no deadline says how soon that fires. `None`: it has what
    /// remains, and where there is no deadline nothing is said.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub at_most: Option<Duration>,
    /// Whether the [`Hops`](watertight_core::Hops) of a call are passed on.
    pub chain: bool,
    /// Whether deadlines are passed on and calls refused, or only counted.
    pub mode: Mode,
}

impl PropagateDeadlineConfig {
    /// A few round trips within a data centre: time enough for the next service to say that it was
    /// too late, before this one gives up on it.
    pub const RESERVE: Duration = Duration::from_millis(5);
    /// Who knows how little is too little says so.
    pub const LEAST: Duration = Duration::ZERO;

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        match self.at_most {
            Some(Duration::ZERO) => Err(ConfigError::new("at_most", Duration::ZERO, "above zero")),
            // No call would ever be made.
            Some(at_most) if at_most < self.least => {
                let allowed = format!("at least `least`, {:?}", self.least);
                Err(ConfigError::new("at_most", at_most, allowed))
            }
            _ => Ok(()),
        }
    }

    /// The fields as a snapshot shows them.
    pub(super) fn describe(&self) -> BTreeMap<&'static str, String> {
        let mut fields = BTreeMap::from([
            ("reserve", format!("{:?}", self.reserve)),
            ("least", format!("{:?}", self.least)),
            ("chain", self.chain.to_string()),
        ]);
        if let Some(at_most) = self.at_most {
            fields.insert("at_most", format!("{at_most:?}"));
        }
        fields
    }
}

impl Default for PropagateDeadlineConfig {
    fn default() -> Self {
        Self {
            reserve: Self::RESERVE,
            least: Self::LEAST,
            at_most: None,
            chain: false,
            mode: Mode::Enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(PropagateDeadlineConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        let refused = |at_most, least| {
            let config = PropagateDeadlineConfig {
                at_most: Some(at_most),
                least,
                ..PropagateDeadlineConfig::default()
            };
            config.validate().map_err(|error| error.to_string())
        };
        let (less, least) = (Duration::from_millis(19), Duration::from_millis(20));

        assert_eq!(
            refused(Duration::ZERO, Duration::ZERO).unwrap_err(),
            "`at_most` is 0ns, but must be above zero"
        );
        assert_eq!(
            refused(less, least).unwrap_err(),
            "`at_most` is 19ms, but must be at least `least`, 20ms"
        );
        assert_eq!(refused(least, least), Ok(()));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let text = r#"{"reserve": "2ms", "at_most": "3s"}"#;
        let config: PropagateDeadlineConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.reserve, Duration::from_millis(2));
        assert_eq!(config.at_most, Some(Duration::from_secs(3)));
        assert_eq!(config.least, Duration::ZERO);

        let text = serde_json::to_string(&config).unwrap();
        let read: PropagateDeadlineConfig = serde_json::from_str(&text).unwrap();
        assert_eq!(read, config);
        assert!(serde_json::from_str::<PropagateDeadlineConfig>(r#"{"leest": "1s"}"#).is_err());
    }
}
