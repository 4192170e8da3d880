use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode};

/// The settings of a layer that limits how long bodies take: those of requests, or those of
/// responses.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::BodyTimeoutConfig;
///
/// let config = BodyTimeoutConfig {
///     frame: Some(Duration::from_secs(30)),
///     ..BodyTimeoutConfig::default()
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct BodyTimeoutConfig {
    /// How long the next frame of a body may take, above zero. `None`: any time. What is too short
    /// for one peer is not too long for another, so there is no default.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub frame: Option<Duration>,
    /// How long all of a body may take, above zero. `None`: any time, as a body may be of any
    /// length.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub whole: Option<Duration>,
    /// Whether bodies are cut off, or only counted.
    pub mode: Mode,
}

impl BodyTimeoutConfig {
    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        for (field, time) in [("frame", self.frame), ("whole", self.whole)] {
            if let Some(Duration::ZERO) = time {
                return Err(ConfigError::new(field, Duration::ZERO, "above zero"));
            }
        }
        Ok(())
    }

    /// Whether there is anything that a body can be too slow for.
    pub(super) const fn has_limits(&self) -> bool {
        self.frame.is_some() || self.whole.is_some()
    }

    /// The fields as a snapshot shows them.
    pub(super) fn describe(&self) -> BTreeMap<&'static str, String> {
        let fields = [("frame", self.frame), ("whole", self.whole)];
        let set = fields.into_iter().filter_map(|(field, time)| {
            let time = time?;
            Some((field, format!("{time:?}")))
        });
        set.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        let refused = |frame, whole| {
            let config = BodyTimeoutConfig {
                frame,
                whole,
                ..BodyTimeoutConfig::default()
            };
            config.validate().map_err(|error| error.to_string())
        };
        let (none, least) = (Some(Duration::ZERO), Some(Duration::from_nanos(1)));

        assert_eq!(refused(None, None), Ok(()));
        assert_eq!(refused(least, least), Ok(()));
        assert_eq!(
            refused(none, least).unwrap_err(),
            "`frame` is 0ns, but must be above zero"
        );
        assert_eq!(
            refused(None, none).unwrap_err(),
            "`whole` is 0ns, but must be above zero"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let text = r#"{"frame": "30s", "mode": "shadow"}"#;
        let config: BodyTimeoutConfig = serde_json::from_str(text).unwrap();
        let expected = BodyTimeoutConfig {
            frame: Some(Duration::from_secs(30)),
            whole: None,
            mode: Mode::Shadow,
        };
        assert_eq!(config, expected);

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<BodyTimeoutConfig>(&text).unwrap(),
            config
        );
        assert!(serde_json::from_str::<BodyTimeoutConfig>(r#"{"frames": "1s"}"#).is_err());
    }
}
