use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use watertight_core::{ConfigError, Mode};

use super::allowance::Terms;
use crate::LegacyReset;

/// The settings of an [`ObeyServerLayer`](super::ObeyServerLayer).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct ObeyServerConfig {
    /// How long a call may wait for a server. One that would have to wait longer, or beyond its
    /// deadline, is refused as soon as that is known. Zero: none waits.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max_wait: Duration,
    /// How many calls may wait for one server.
    pub max_waiting: usize,
    /// At which share of a quota calls begin to be spread over the time until the reset, in
    /// 0.0..=1.0. Above it they start at once. 0: they are held only when nothing is left.
    pub spread_below: f64,
    /// The longest time for which a server is believed, from a second to ten years. Then one call
    /// asks it again.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max_hold: Duration,
    /// What `X-RateLimit-Reset` is. `None`: `X-RateLimit-*` are not read, since the number does
    /// not tell.
    pub legacy: Option<LegacyReset>,
    /// How many servers are known at a time, at least 1. What is known of those that make room is
    /// forgotten.
    pub max_servers: usize,
    /// Whether calls wait and are refused, or are only counted.
    pub mode: Mode,
}

impl ObeyServerConfig {
    /// Long enough for the burst limits of a service, which are by the second, and not for those
    /// by the hour: somebody waits for the answer.
    pub const MAX_WAIT: Duration = Duration::from_secs(10);
    /// Each waits with its request in memory.
    pub const MAX_WAITING: usize = 1024;
    /// A client that needs less than half of its quota never waits, and one that needs more still
    /// has some to spread when it is told so.
    pub const SPREAD_BELOW: f64 = 0.5;
    /// The window of the slowest limits in use but for those by the day, of which a server says
    /// the same again when it is asked.
    pub const MAX_HOLD: Duration = Duration::from_secs(3600);
    /// More hosts than most programs call, at about half a kilobyte each.
    pub const MAX_SERVERS: usize = 1024;
    /// As good as for ever.
    pub(super) const AGES: Duration = Duration::from_secs(10 * 365 * 86_400);

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        const HOLDS: RangeInclusive<Duration> = Duration::from_secs(1)..=ObeyServerConfig::AGES;

        ConfigError::check_ratio("spread_below", self.spread_below)?;
        if !HOLDS.contains(&self.max_hold) {
            let allowed = "from a second to ten years";
            return Err(ConfigError::new("max_hold", self.max_hold, allowed));
        }
        if self.max_servers == 0 {
            return Err(ConfigError::new("max_servers", 0, "at least 1"));
        }
        Ok(())
    }

    pub(super) const fn terms(&self) -> Terms {
        Terms {
            spread_below: self.spread_below,
            max_hold: self.max_hold,
        }
    }

    /// The fields as a snapshot shows them.
    pub(super) fn describe(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("max_wait", format!("{:?}", self.max_wait)),
            ("max_waiting", self.max_waiting.to_string()),
            ("spread_below", self.spread_below.to_string()),
            ("max_hold", format!("{:?}", self.max_hold)),
            ("legacy", format!("{:?}", self.legacy)),
            ("max_servers", self.max_servers.to_string()),
        ])
    }
}

impl Default for ObeyServerConfig {
    fn default() -> Self {
        Self {
            max_wait: Self::MAX_WAIT,
            max_waiting: Self::MAX_WAITING,
            spread_below: Self::SPREAD_BELOW,
            max_hold: Self::MAX_HOLD,
            legacy: None,
            max_servers: Self::MAX_SERVERS,
            mode: Mode::Enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut ObeyServerConfig)) -> String {
        let mut config = ObeyServerConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(ObeyServerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.max_servers = 0),
            "`max_servers` is 0, but must be at least 1"
        );
        assert_eq!(
            refused(|config| config.max_hold = Duration::ZERO),
            "`max_hold` is 0ns, but must be from a second to ten years"
        );
        for share in [-0.1, 1.1, f64::NAN] {
            let message = refused(|config| config.spread_below = share);
            assert!(message.starts_with("`spread_below` is "), "{message}");
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let text = r#"{"max_wait": "3s", "legacy": "unix_time"}"#;
        let config: ObeyServerConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.max_wait, Duration::from_secs(3));
        assert_eq!(config.legacy, Some(LegacyReset::UnixTime));
        assert_eq!(config.max_servers, ObeyServerConfig::MAX_SERVERS);

        let text = serde_json::to_string(&config).unwrap();
        let again = serde_json::from_str::<ObeyServerConfig>(&text).unwrap();
        assert_eq!(again, config);
        assert!(serde_json::from_str::<ObeyServerConfig>(r#"{"max_wiat": "3s"}"#).is_err());
    }
}
