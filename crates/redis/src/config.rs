use std::time::Duration;

use watertight_breaker::{BreakerConfig, OpenBackoff};
use watertight_core::ConfigError;

/// The settings of a store that are plain data.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct RedisConfig {
    /// What the names of all keys begin with. Stores with the same prefix share their quotas.
    pub prefix: String,
    /// How long it may take to connect, above zero.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub connection_timeout: Duration,
    /// How long Redis may take to answer, above zero. Layers mostly wait for less, and then it is that.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub response_timeout: Duration,
    /// When Redis is not asked for a while, since it fails. What is left out of it in a
    /// file is that of [`BreakerConfig`].
    pub breaker: BreakerConfig,
}

impl RedisConfig {
    /// Tells our keys from those of others.
    pub const PREFIX: &str = "watertight";
    /// A handshake over a long way, with TLS and a password, takes less.
    pub const CONNECTION_TIMEOUT: Duration = Duration::from_millis(500);
    /// Ten times what a layer waits for by default: it ends what nobody waits for any more.
    pub const RESPONSE_TIMEOUT: Duration = Duration::from_millis(500);
    /// One may be unlucky, and after five a store that is down costs its callers nothing more.
    pub const CONSECUTIVE_FAILURES: u32 = 5;
    /// A restart or a failover is over within seconds, and a probe costs little.
    pub const OPEN_FOR: Duration = Duration::from_secs(1);
    /// Whoever repairs Redis does not wait for longer until it is used again.
    pub const MAX_OPEN_FOR: Duration = Duration::from_secs(10);
    /// So that many processes do not try it in step.
    pub const OPEN_JITTER: f64 = 0.3;

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let times = [
            ("connection_timeout", self.connection_timeout),
            ("response_timeout", self.response_timeout),
        ];
        for (field, time) in times {
            if time.is_zero() {
                return Err(ConfigError::new(field, time, "longer than 0 s"));
            }
        }
        self.breaker.validate()
    }
}

impl Default for RedisConfig {
    fn default() -> Self {
        let breaker = BreakerConfig {
            consecutive_failures: Self::CONSECUTIVE_FAILURES,
            open_for: Self::OPEN_FOR,
            open_backoff: Some(OpenBackoff {
                factor: 2.0,
                max: Self::MAX_OPEN_FOR,
            }),
            open_jitter: Self::OPEN_JITTER,
            ..BreakerConfig::default()
        };
        Self {
            prefix: Self::PREFIX.to_owned(),
            connection_timeout: Self::CONNECTION_TIMEOUT,
            response_timeout: Self::RESPONSE_TIMEOUT,
            breaker,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid() {
        assert_eq!(RedisConfig::default().validate(), Ok(()));
    }

    #[test]
    fn says_which_field_cannot_be() {
        let config = RedisConfig::default;
        let no_breaker = BreakerConfig {
            failure_rate: 2.0,
            ..BreakerConfig::default()
        };

        for (config, field) in [
            (
                RedisConfig {
                    connection_timeout: Duration::ZERO,
                    ..config()
                },
                "connection_timeout",
            ),
            (
                RedisConfig {
                    response_timeout: Duration::ZERO,
                    ..config()
                },
                "response_timeout",
            ),
            (
                RedisConfig {
                    breaker: no_breaker,
                    ..config()
                },
                "failure_rate",
            ),
        ] {
            assert_eq!(config.validate().unwrap_err().field(), field);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes() {
        let config = RedisConfig {
            prefix: "shop".to_owned(),
            ..RedisConfig::default()
        };

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<RedisConfig>(&text).unwrap(), config);
        let empty = serde_json::from_str::<RedisConfig>("{}").unwrap();
        assert_eq!(empty, RedisConfig::default());
        assert!(serde_json::from_str::<RedisConfig>(r#"{"prefex":"shop"}"#).is_err());
    }
}
