use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Hops, Mode};

/// The settings of a layer of deadlines for calls that come in.
///
/// ```
/// use std::time::Duration;
/// use watertight_timeout::DeadlineConfig;
///
/// let config = DeadlineConfig {
///     max_refused: 1.0,
///     ..DeadlineConfig::new(Duration::from_secs(10))
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct DeadlineConfig {
    /// How long a call may take at most, whatever its caller says. Above zero;
    /// [`Duration::MAX`] is as long as the caller waits.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub within: Duration,
    /// Which share of the calls is refused whose callers say that they have no time left, in
    /// 0.0..=1.0. The others are served as if their callers had said nothing. A call that says
    /// too little, but more than zero, is not among them: it is ended after what it says.
    #[cfg_attr(feature = "serde", serde(default = "max_refused"))]
    pub max_refused: f64,
    /// What this service is called among the [`Hops`](watertight_core::Hops) of its calls. With
    /// `None` it keeps no track of them. Keeping track costs two allocations a call.
    #[cfg_attr(feature = "serde", serde(default))]
    pub hop: Option<String>,
    /// Whether it is recorded how much time calls have left as they come, and how late those are
    /// whose deadline has passed: for a look at the layer. It costs each call some atomic
    /// additions that threads share.
    #[cfg_attr(feature = "serde", serde(default))]
    pub record_times: bool,
    /// Whether calls are refused and ended, or only counted.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mode: Mode,
}

impl DeadlineConfig {
    /// One such call in ten is served: a client that always says zero gets on, and somebody
    /// notices. A backlog of calls that are over is still gone ten times as fast as it would be
    /// served.
    pub const MAX_REFUSED: f64 = 0.9;

    /// Lets calls take so long.
    #[must_use]
    pub const fn new(within: Duration) -> Self {
        Self {
            within,
            max_refused: Self::MAX_REFUSED,
            hop: None,
            record_times: false,
            mode: Mode::Enforce,
        }
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.within.is_zero() {
            return Err(ConfigError::new("within", self.within, "above zero"));
        }
        ConfigError::check_ratio("max_refused", self.max_refused)?;
        match &self.hop {
            Some(hop) => Hops::check_name("hop", hop),
            None => Ok(()),
        }
    }

    /// The fields as a snapshot shows them.
    pub(super) fn describe(&self) -> BTreeMap<&'static str, String> {
        let mut fields = BTreeMap::from([
            ("within", format!("{:?}", self.within)),
            ("max_refused", self.max_refused.to_string()),
            ("record_times", self.record_times.to_string()),
        ]);
        if let Some(hop) = &self.hop {
            fields.insert("hop", hop.clone());
        }
        fields
    }
}

#[cfg(feature = "serde")]
const fn max_refused() -> f64 {
    DeadlineConfig::MAX_REFUSED
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut DeadlineConfig)) -> String {
        let mut config = DeadlineConfig::new(Duration::from_secs(1));
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.within = Duration::ZERO),
            "`within` is 0ns, but must be above zero"
        );
        for share in [-0.1, 1.1, f64::NAN] {
            let message = refused(|config| config.max_refused = share);
            assert!(message.starts_with("`max_refused` is "), "{message}");
        }
        assert_eq!(
            refused(|config| config.hop = Some("a b".into())),
            "`hop` is \"a b\", but must be letters, digits, `-`, `_` and `.`"
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let config: DeadlineConfig = serde_json::from_str(r#"{"within": "10s"}"#).unwrap();
        assert_eq!(config, DeadlineConfig::new(Duration::from_secs(10)));

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<DeadlineConfig>(&text).unwrap(),
            config
        );
        assert!(serde_json::from_str::<DeadlineConfig>("{}").is_err());
        let unknown = serde_json::from_str::<DeadlineConfig>(r#"{"within": "1s", "hops": 1}"#);
        assert!(unknown.is_err());
    }
}
