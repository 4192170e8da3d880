use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode, Window};

use crate::{Recovery, State};

/// The settings of a breaker that are plain data.
///
/// ```
/// use watertight_breaker::BreakerConfig;
///
/// let config = BreakerConfig {
///     failure_rate: 0.3,
///     ..BreakerConfig::default()
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct BreakerConfig {
    /// The share of failures at which the breaker opens, in 0.0..=1.0. A rate equal to it opens;
    /// 0 turns it off.
    pub failure_rate: f64,
    /// How many calls must be in the window before a rate counts. More than a count window holds
    /// means all that it holds.
    pub min_calls: u32,
    /// Which calls the rates are taken over.
    pub window: Window,
    /// How long a call may take before it is slow. A call that takes exactly as long is not.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub slow_call: Option<Duration>,
    /// Whether the breaker measures how long calls take even if slow calls are not configured. It
    /// costs two looks at the clock for each call.
    pub durations: bool,
    /// The share of slow calls at which the breaker opens, in 0.0..=1.0. A rate equal to it opens;
    /// 0 turns it off. It needs `slow_call`.
    pub slow_rate: f64,
    /// How many failures in a row open the breaker. 0 turns it off.
    pub consecutive_failures: u32,
    /// How long the breaker stays open before it lets probes pass.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub open_for: Duration,
    /// How the open time grows while the probes fail.
    pub open_backoff: Option<OpenBackoff>,
    /// The share by which an open time is made longer or shorter at random, in 0.0..=1.0, so that
    /// many clients do not probe a backend in step. It comes on top of the longest open time. With
    /// 1.0 a draw may be next to nothing.
    pub open_jitter: f64,
    /// How many probes may be in flight at a time, at least 1.
    pub half_open_calls: u32,
    /// How many probes must succeed to close the breaker, or finish for a verdict by
    /// `half_open_failure_rate`; at least 1. A failure of weight 0 is none.
    pub close_after: u32,
    /// The share of failed probes at which the breaker opens again, in 0.0..=1.0 and above 0.
    /// Without it, the first failed probe opens it.
    pub half_open_failure_rate: Option<f64>,
    /// How long the breaker may be half-open before it opens again; `open_for` if not set. While no
    /// probe is in flight and none has failed it goes on being half-open: then calls are only few.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub half_open_timeout: Option<Duration>,
    /// How the breaker goes back to full traffic.
    pub recovery: Recovery,
    /// Whether a failure that says how long to stay away opens the breaker for that long,
    /// whatever the rates, but never for more than [`MAX_OBEYED`](Self::MAX_OBEYED).
    pub obey_retry_after: bool,
    /// The state to start in: any but [`State::HalfOpen`] and [`State::Recovering`].
    pub start: State,
    /// Whether the breaker refuses calls, or only counts what it would refuse.
    pub mode: Mode,
    /// How many keys have a breaker of their own, at least 1, where there are keys.
    pub max_keys: usize,
    /// How long an idle key is remembered, above 0.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub key_idle: Duration,
    /// The seed of `open_jitter`; random if not set.
    pub seed: Option<u64>,
}

/// How the open time grows while the probes fail.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct OpenBackoff {
    /// What each failed half-open multiplies the open time by, at least 1.
    pub factor: f64,
    /// The longest open time before jitter, at least `open_for`.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max: Duration,
}

impl BreakerConfig {
    /// Half of the calls: below that, more calls are served by trying than by refusing.
    pub const FAILURE_RATE: f64 = 0.5;
    /// With fewer calls a rate of one half is chance as likely as trouble.
    pub const MIN_CALLS: u32 = 20;
    /// Enough calls for a rate to be steady to 5 %, and few enough to notice within moments.
    pub const WINDOW: Window = Window::calls(100);
    /// All of them: once slow calls are configured, a breaker that opens on a part of them says so.
    pub const SLOW_RATE: f64 = 1.0;
    /// A restart or a failover is over in about a minute.
    pub const OPEN_FOR: Duration = Duration::from_secs(60);
    /// One probe may be unlucky, and three are no load.
    pub const HALF_OPEN_CALLS: u32 = 3;
    /// As many as may be in flight, so that one round of probes can decide.
    pub const CLOSE_AFTER: u32 = 3;
    /// The longest that a hint is obeyed: a mistaken or hostile one must not keep a breaker open
    /// for good.
    pub const MAX_OBEYED: Duration = Duration::from_secs(3600);
    /// About 23 MB of breakers with the default window.
    pub const MAX_KEYS: usize = 10_000;
    /// Long after an open breaker has had its probes.
    pub const KEY_IDLE: Duration = Duration::from_secs(600);

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::check_ratio("failure_rate", self.failure_rate)?;
        ConfigError::check_ratio("slow_rate", self.slow_rate)?;
        ConfigError::check_ratio("open_jitter", self.open_jitter)?;
        self.window.validate()?;
        self.recovery.validate()?;
        self.validate_half_open()?;
        self.validate_open_time()?;
        check(self.slow_call != Some(Duration::ZERO), || {
            ConfigError::new("slow_call", self.slow_call, "longer than 0 s, or none")
        })?;
        check(
            !matches!(self.start, State::HalfOpen | State::Recovering),
            || {
                ConfigError::new(
                    "start",
                    self.start,
                    "Closed, Open, ForcedOpen or ForcedClosed",
                )
            },
        )?;
        check(self.max_keys > 0, || {
            ConfigError::new("max_keys", self.max_keys, "at least 1")
        })?;
        check(!self.key_idle.is_zero(), || {
            ConfigError::new("key_idle", self.key_idle, "longer than 0 s")
        })
    }

    fn validate_half_open(&self) -> Result<(), ConfigError> {
        check(self.half_open_calls > 0, || {
            ConfigError::new("half_open_calls", self.half_open_calls, "at least 1")
        })?;
        check(self.close_after > 0, || {
            ConfigError::new("close_after", self.close_after, "at least 1")
        })?;
        check(self.half_open_timeout != Some(Duration::ZERO), || {
            ConfigError::new(
                "half_open_timeout",
                self.half_open_timeout,
                "longer than 0 s, or none for the same as `open_for`",
            )
        })?;
        check(
            self.half_open_failure_rate
                .is_none_or(|rate| rate > 0.0 && rate <= 1.0),
            || {
                ConfigError::new(
                    "half_open_failure_rate",
                    self.half_open_failure_rate,
                    "a ratio above 0.0 and up to 1.0, or none",
                )
            },
        )
    }

    fn validate_open_time(&self) -> Result<(), ConfigError> {
        check(!self.open_for.is_zero(), || {
            ConfigError::new("open_for", self.open_for, "longer than 0 s")
        })?;
        let Some(backoff) = self.open_backoff else {
            return Ok(());
        };
        check(backoff.factor >= 1.0 && backoff.factor.is_finite(), || {
            ConfigError::new(
                "open_backoff.factor",
                backoff.factor,
                "a finite factor of at least 1.0",
            )
        })?;
        check(backoff.max >= self.open_for, || {
            ConfigError::new(
                "open_backoff.max",
                backoff.max,
                format!("at least `open_for`, {:?}", self.open_for),
            )
        })
    }

    /// How long the breaker may be half-open.
    pub(crate) fn half_open_for(&self) -> Duration {
        self.half_open_timeout.unwrap_or(self.open_for)
    }

    /// How many calls must be in the window before a rate counts.
    pub(crate) fn calls_needed(&self) -> u32 {
        match self.window.size() {
            Some(size) => self.min_calls.min(size),
            None => self.min_calls,
        }
    }

    /// Whether the breaker looks at the clock when a call comes and when it ends.
    pub(crate) fn is_timed(&self) -> bool {
        self.durations || self.slow_call.is_some()
    }

    /// The fields as a snapshot shows them.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("failure_rate", self.failure_rate.to_string()),
            ("min_calls", self.min_calls.to_string()),
            ("window", format!("{:?}", self.window)),
            ("slow_call", or_off(self.slow_call)),
            ("durations", self.durations.to_string()),
            ("slow_rate", self.slow_rate.to_string()),
            (
                "consecutive_failures",
                self.consecutive_failures.to_string(),
            ),
            ("open_for", format!("{:?}", self.open_for)),
            ("open_backoff", or_off(self.open_backoff)),
            ("open_jitter", self.open_jitter.to_string()),
            ("half_open_calls", self.half_open_calls.to_string()),
            ("close_after", self.close_after.to_string()),
            (
                "half_open_failure_rate",
                or_off(self.half_open_failure_rate),
            ),
            ("half_open_timeout", format!("{:?}", self.half_open_for())),
            ("recovery", format!("{:?}", self.recovery)),
            ("obey_retry_after", self.obey_retry_after.to_string()),
            ("start", self.start.to_string()),
            ("max_keys", self.max_keys.to_string()),
            ("key_idle", format!("{:?}", self.key_idle)),
        ])
    }
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self {
            failure_rate: Self::FAILURE_RATE,
            min_calls: Self::MIN_CALLS,
            window: Self::WINDOW,
            slow_call: None,
            durations: false,
            slow_rate: Self::SLOW_RATE,
            consecutive_failures: 0,
            open_for: Self::OPEN_FOR,
            open_backoff: None,
            open_jitter: 0.0,
            half_open_calls: Self::HALF_OPEN_CALLS,
            close_after: Self::CLOSE_AFTER,
            half_open_failure_rate: None,
            half_open_timeout: None,
            recovery: Recovery::Immediate,
            obey_retry_after: false,
            start: State::Closed,
            mode: Mode::Enforce,
            max_keys: Self::MAX_KEYS,
            key_idle: Self::KEY_IDLE,
            seed: None,
        }
    }
}

fn check(allowed: bool, error: impl FnOnce() -> ConfigError) -> Result<(), ConfigError> {
    if allowed { Ok(()) } else { Err(error()) }
}

fn or_off(setting: Option<impl std::fmt::Debug>) -> String {
    setting.map_or_else(|| "off".into(), |setting| format!("{setting:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut BreakerConfig)) -> String {
        let mut config = BreakerConfig::default();
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(BreakerConfig::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.failure_rate = 1.5),
            "`failure_rate` is 1.5, but must be a ratio in 0.0..=1.0"
        );
        assert_eq!(
            refused(|config| config.start = State::HalfOpen),
            "`start` is HalfOpen, but must be Closed, Open, ForcedOpen or ForcedClosed"
        );
    }

    #[test]
    fn every_field_is_checked() {
        let zero = Duration::ZERO;
        let backoff = |factor, max| Some(OpenBackoff { factor, max });
        let minute = BreakerConfig::OPEN_FOR;
        type Change<'a> = &'a dyn Fn(&mut BreakerConfig);
        let changes: [(&str, Change<'_>); 16] = [
            ("failure_rate", &|config| config.failure_rate = f64::NAN),
            ("slow_rate", &|config| config.slow_rate = -0.1),
            ("open_jitter", &|config| config.open_jitter = 1.1),
            ("window", &|config| config.window = Window::calls(0)),
            ("slow_call", &|config| config.slow_call = Some(zero)),
            ("open_for", &|config| config.open_for = zero),
            ("open_backoff.factor", &|config| {
                config.open_backoff = backoff(0.5, minute)
            }),
            ("open_backoff.factor", &|config| {
                config.open_backoff = backoff(f64::NAN, minute)
            }),
            ("open_backoff.max", &|config| {
                config.open_backoff = backoff(2.0, minute / 2)
            }),
            ("half_open_calls", &|config| config.half_open_calls = 0),
            ("close_after", &|config| config.close_after = 0),
            ("half_open_failure_rate", &|config| {
                config.half_open_failure_rate = Some(0.0)
            }),
            ("half_open_timeout", &|config| {
                config.half_open_timeout = Some(zero)
            }),
            ("recovery", &|config| config.recovery = Recovery::ramp(zero)),
            ("max_keys", &|config| config.max_keys = 0),
            ("key_idle", &|config| config.key_idle = zero),
        ];

        for (field, change) in changes {
            let message = refused(change);
            assert!(
                message.starts_with(&format!("`{field}")),
                "{field}: {message}"
            );
        }
    }

    #[test]
    fn a_count_window_bounds_the_calls_needed() {
        let config = BreakerConfig {
            window: Window::calls(10),
            min_calls: 100,
            ..BreakerConfig::default()
        };

        assert_eq!(config.calls_needed(), 10);
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let config: BreakerConfig =
            serde_json::from_str(r#"{"failure_rate": 0.3, "open_for": "1m 30s"}"#).unwrap();
        assert_eq!(config.open_for, Duration::from_secs(90));
        assert_eq!(config.min_calls, BreakerConfig::MIN_CALLS);

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<BreakerConfig>(&text).unwrap(),
            config
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn an_unknown_field_is_refused() {
        let error = serde_json::from_str::<BreakerConfig>(r#"{"failure_ratio": 0.3}"#);

        assert!(error.unwrap_err().to_string().contains("failure_ratio"));
    }
}
