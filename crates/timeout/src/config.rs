use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode};

use crate::TimeLimit;

/// The settings of a timeout that are plain data.
///
/// ```
/// use std::time::Duration;
/// use watertight_timeout::{TimeLimit, TimeoutConfig};
///
/// let config = TimeoutConfig {
///     limit: TimeLimit::Fixed(Duration::from_secs(5)),
///     ..TimeoutConfig::default()
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct TimeoutConfig {
    /// How long a call may take.
    pub limit: TimeLimit,
    /// How long a call may wait for the inner service to become ready, above zero. `None` is as
    /// long as it takes.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub ready: Option<Duration>,
    /// How long before the deadline of its [`Context`](watertight_core::Context) a call is ended,
    /// so that the caller still hears of it.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub reserve: Duration,
    /// Whether it is measured how long calls take also where nothing else needs to know. Costs two
    /// looks at the clock a call.
    pub durations: bool,
    /// Whether calls are ended, or only counted.
    pub mode: Mode,
    /// How many keys have an adaptive timeout of their own, at least 1.
    pub max_keys: usize,
    /// How long a key is remembered that nobody asks for, above zero.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub key_idle: Duration,
}

impl TimeoutConfig {
    /// What is on the way back is a layer's own affair: the way between hosts is taken off where
    /// the deadline is sent or received.
    pub const RESERVE: Duration = Duration::ZERO;
    /// Each takes 9 KB.
    pub const MAX_KEYS: usize = 1_000;
    /// Longer than most pauses in which somebody still comes back.
    pub const KEY_IDLE: Duration = Duration::from_secs(600);

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.limit.validate()?;
        if let Some(ready) = self.ready {
            check_not_zero("ready", ready)?;
        }
        if self.max_keys == 0 {
            return Err(ConfigError::new("max_keys", 0, "at least 1"));
        }
        check_not_zero("key_idle", self.key_idle)
    }

    /// The fields as a snapshot shows them.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, String> {
        let mut fields = BTreeMap::from([
            ("reserve", format!("{:?}", self.reserve)),
            ("durations", self.durations.to_string()),
        ]);
        match &self.limit {
            TimeLimit::None => {}
            TimeLimit::Fixed(limit) => {
                fields.insert("limit", format!("{limit:?}"));
            }
            TimeLimit::Adaptive(adaptive) => adaptive.describe(&mut fields),
        }
        if let Some(ready) = self.ready {
            fields.insert("ready", format!("{ready:?}"));
        }
        fields
    }
}

impl Default for TimeoutConfig {
    fn default() -> Self {
        Self {
            limit: TimeLimit::None,
            ready: None,
            reserve: Self::RESERVE,
            durations: false,
            mode: Mode::Enforce,
            max_keys: Self::MAX_KEYS,
            key_idle: Self::KEY_IDLE,
        }
    }
}

pub(crate) fn check_not_zero(field: &'static str, value: Duration) -> Result<(), ConfigError> {
    if value.is_zero() {
        return Err(ConfigError::new(field, value, "above zero"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(TimeoutConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field() {
        let default = TimeoutConfig::default;
        let limit = TimeLimit::Fixed(Duration::ZERO);
        let ready = Some(Duration::ZERO);
        let key_idle = Duration::ZERO;
        for (field, config) in [
            ("limit", TimeoutConfig { limit, ..default() }),
            ("ready", TimeoutConfig { ready, ..default() }),
            (
                "max_keys",
                TimeoutConfig {
                    max_keys: 0,
                    ..default()
                },
            ),
            (
                "key_idle",
                TimeoutConfig {
                    key_idle,
                    ..default()
                },
            ),
        ] {
            assert_eq!(config.validate().unwrap_err().field(), field);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_refuses_an_unknown_field() {
        let config: TimeoutConfig =
            serde_json::from_str(r#"{"limit": {"fixed": "5s"}, "ready": "1s"}"#).unwrap();
        assert_eq!(config.limit, TimeLimit::Fixed(Duration::from_secs(5)));
        assert_eq!(config.ready, Some(Duration::from_secs(1)));

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<TimeoutConfig>(&text).unwrap(),
            config
        );
        assert!(serde_json::from_str::<TimeoutConfig>(r#"{"limt": "none"}"#).is_err());
    }
}
