use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{Backoff, ConfigError, Jitter, Mode};

/// The settings of a retry layer that are plain data.
///
/// ```
/// use watertight_retry::RetryConfig;
///
/// let config = RetryConfig {
///     max_attempts: 5,
///     ..RetryConfig::default()
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct RetryConfig {
    /// How many attempts a call has, the first one included; at least 1.
    pub max_attempts: u32,
    /// How long to wait before each retry.
    pub backoff: Backoff,
    /// What to do about a service that says when to come again.
    pub retry_after: RetryAfter,
    /// How long each attempt may take, above 0.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub attempt_timeout: Option<Duration>,
    /// How long after its first attempt a call may make another, above 0.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max_elapsed: Option<Duration>,
    /// Whether a call whose request came in as somebody's retry is left alone here.
    pub amplification_guard: bool,
    /// Whether calls are retried, or only counted.
    pub mode: Mode,
}

/// What to do about a service that says when to come again.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct RetryAfter {
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    honour_up_to: Option<Duration>,
}

impl RetryAfter {
    /// Waits as long as the service asks. Where it asks for more than `limit`, the call is not
    /// retried, and its answer goes up with what it asks.
    #[must_use]
    pub const fn honour_up_to(limit: Duration) -> Self {
        Self {
            honour_up_to: Some(limit),
        }
    }

    /// Waits as long as the backoff says.
    #[must_use]
    pub const fn ignore() -> Self {
        Self { honour_up_to: None }
    }

    /// The longest wait that is honoured, if any is.
    pub(crate) const fn limit(self) -> Option<Duration> {
        self.honour_up_to
    }
}

impl Default for RetryAfter {
    fn default() -> Self {
        Self::honour_up_to(RetryConfig::HONOURED)
    }
}

impl RetryConfig {
    /// Two failures in a row are chance, three are trouble that a fourth call makes worse.
    pub const MAX_ATTEMPTS: u32 = 3;
    /// Long enough for a connection that was dropped or a leader that changed.
    pub const BASE_DELAY: Duration = Duration::from_millis(100);
    /// Longer than callers wait.
    pub const MAX_DELAY: Duration = Duration::from_secs(10);
    /// Callers do not wait longer either: they had better be told.
    pub const HONOURED: Duration = Duration::from_secs(30);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.max_attempts == 0 {
            return Err(ConfigError::new(
                "max_attempts",
                self.max_attempts,
                "at least 1, which is the first attempt",
            ));
        }
        self.backoff.validate()?;
        for (field, value) in [
            ("attempt_timeout", self.attempt_timeout),
            ("max_elapsed", self.max_elapsed),
        ] {
            if value == Some(Duration::ZERO) {
                return Err(ConfigError::new(field, value, "longer than 0 s, or none"));
            }
        }
        Ok(())
    }

    /// The fields as a snapshot shows them.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, String> {
        let or_off = |time: Option<Duration>| {
            time.map_or_else(|| "off".to_owned(), |time| format!("{time:?}"))
        };
        BTreeMap::from([
            ("max_attempts", self.max_attempts.to_string()),
            ("backoff", format!("{:?}", self.backoff)),
            ("retry_after", or_off(self.retry_after.limit())),
            ("attempt_timeout", or_off(self.attempt_timeout)),
            ("max_elapsed", or_off(self.max_elapsed)),
            ("amplification_guard", self.amplification_guard.to_string()),
        ])
    }
}

impl Default for RetryConfig {
    fn default() -> Self {
        Self {
            max_attempts: Self::MAX_ATTEMPTS,
            backoff: Backoff::exponential(Self::BASE_DELAY, Self::MAX_DELAY).jitter(Jitter::Full),
            retry_after: RetryAfter::default(),
            attempt_timeout: None,
            max_elapsed: None,
            amplification_guard: true,
            mode: Mode::Enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut RetryConfig)) -> String {
        let mut config = RetryConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(RetryConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_and_what_is_allowed() {
        let none = refused(|config| config.max_attempts = 0);
        assert!(
            none.contains("max_attempts") && none.contains("at least 1"),
            "{none}"
        );

        let zero = refused(|config| config.max_elapsed = Some(Duration::ZERO));
        assert!(
            zero.contains("max_elapsed") && zero.contains("longer than 0 s"),
            "{zero}"
        );

        let timeout = refused(|config| config.attempt_timeout = Some(Duration::ZERO));
        assert!(timeout.contains("attempt_timeout"), "{timeout}");
    }

    #[cfg(feature = "serde")]
    #[test]
    fn is_read_from_a_file_and_written() {
        let config: RetryConfig = serde_json::from_str(
            r#"{"max_attempts": 5, "attempt_timeout": "1s 500ms", "retry_after": {"honour_up_to": "10s"}}"#,
        )
        .unwrap();
        assert_eq!(config.max_attempts, 5);
        assert_eq!(config.attempt_timeout, Some(Duration::from_millis(1500)));
        assert_eq!(config.retry_after.limit(), Some(Duration::from_secs(10)));

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RetryConfig>(&text).unwrap(), config);
    }
}
