use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode, Priority};

use crate::{Limit, Order};

/// The settings of a bulkhead that are plain data.
///
/// ```
/// use std::time::Duration;
/// use watertight_bulkhead::BulkheadConfig;
///
/// let config = BulkheadConfig {
///     max_queue: 100,
///     max_wait: Duration::from_millis(500),
///     ..BulkheadConfig::new(50)
/// };
/// assert!(config.validate().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct BulkheadConfig {
    /// How many calls may be in flight; where there are keys, of each.
    pub limit: Limit,
    /// How many calls may wait for a slot. 0 turns waiting off. Where there are keys, as many may
    /// wait for each, and as many for one of `total`. When so many wait and one more comes, one of
    /// them is refused: the one with the weakest claim, as [`Order`] and `partitions` say, which
    /// may be one that waits.
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_queue: usize,
    /// How long a call may wait for a slot, and after that for the inner service to be ready. It waits
    /// no longer than until its deadline in any case. 0 where nothing waits, and longer where something may.
    #[cfg_attr(feature = "serde", serde(default, with = "humantime_serde"))]
    pub max_wait: Duration,
    /// Which of the calls that wait is served first.
    #[cfg_attr(feature = "serde", serde(default))]
    pub order: Order,
    /// The share of the slots that only calls of a priority, or of a more important one, may have,
    /// above 0.0. All of them together are below 1.0. Each is rounded up to whole slots, and all of
    /// them together leave one slot to everybody.
    #[cfg_attr(feature = "serde", serde(default))]
    pub reserve: BTreeMap<Priority, f64>,
    /// The share of the slots that belongs to each partition, above 0.0. With those in `reserve`
    /// they are at most 1.0. What a partition leaves free is lent to others, and what comes free
    /// goes to an owner who waits for it: they need a `max_queue` of at least 1.
    ///
    /// A share is rounded down to whole slots, but is at least one as long as there are as many
    /// slots as partitions, after what is reserved. Where that makes too many, the largest partition
    /// has one less.
    #[cfg_attr(feature = "serde", serde(default))]
    pub partitions: BTreeMap<String, f64>,
    /// How many calls may be in flight for all keys together, at least 1 if set: more than keys that
    /// hang can take together, or they take it from the others.
    #[cfg_attr(feature = "serde", serde(default))]
    pub total: Option<usize>,
    /// How many keys have a bulkhead of their own, at least 1. Others share one.
    #[cfg_attr(feature = "serde", serde(default = "max_keys"))]
    pub max_keys: usize,
    /// How long an idle key is remembered.
    #[cfg_attr(
        feature = "serde",
        serde(default = "key_idle", with = "humantime_serde")
    )]
    pub key_idle: Duration,
    /// Whether the bulkhead refuses calls, or only counts.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mode: Mode,
}

impl BulkheadConfig {
    /// None: to wait in a queue hides overload, and it is for the caller to say for how long that
    /// is worth it.
    pub const MAX_QUEUE: usize = 0;
    /// As long as there is no queue.
    pub const MAX_WAIT: Duration = Duration::ZERO;
    /// Who came first is served first.
    pub const ORDER: Order = Order::Fifo;
    /// About 20 MB of bulkheads.
    pub const MAX_KEYS: usize = 10_000;
    /// An idle bulkhead holds nothing but what an adaptive limit has learnt, which is old by then.
    pub const KEY_IDLE: Duration = Duration::from_secs(600);

    /// Makes the settings that are the default but for the limit, which has none.
    #[must_use]
    pub fn new(limit: impl Into<Limit>) -> Self {
        Self {
            limit: limit.into(),
            max_queue: Self::MAX_QUEUE,
            max_wait: Self::MAX_WAIT,
            order: Self::ORDER,
            reserve: BTreeMap::new(),
            partitions: BTreeMap::new(),
            total: None,
            max_keys: Self::MAX_KEYS,
            key_idle: Self::KEY_IDLE,
            mode: Mode::Enforce,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.limit.validate()?;
        self.validate_queue()?;
        self.validate_shares()?;
        check(self.total != Some(0), || {
            ConfigError::new("total", self.total, "at least 1, or none")
        })?;
        check(self.max_keys > 0, || {
            ConfigError::new("max_keys", self.max_keys, "at least 1")
        })?;
        check(!self.key_idle.is_zero(), || {
            ConfigError::new("key_idle", self.key_idle, "longer than 0 s")
        })
    }

    fn validate_queue(&self) -> Result<(), ConfigError> {
        check(self.max_queue == 0 || !self.max_wait.is_zero(), || {
            let allowed = "longer than 0 s where `max_queue` is above 0";
            ConfigError::new("max_wait", self.max_wait, allowed)
        })?;
        check(self.max_queue > 0 || self.max_wait.is_zero(), || {
            let allowed = "at least 1 where `max_wait` is longer than 0 s";
            ConfigError::new("max_queue", self.max_queue, allowed)
        })?;
        check(self.max_queue > 0 || self.partitions.is_empty(), || {
            let allowed = "at least 1 with partitions: a slot that is lent goes back to who waits";
            ConfigError::new("max_queue", self.max_queue, allowed)
        })
    }

    fn validate_shares(&self) -> Result<(), ConfigError> {
        let is_share = |share: &f64| *share > 0.0 && *share <= 1.0;
        check(self.reserve.values().all(is_share), || {
            ConfigError::new("reserve", &self.reserve, "ratios above 0.0 and below 1.0")
        })?;
        check(self.partitions.values().all(is_share), || {
            let allowed = "ratios above 0.0 and up to 1.0";
            ConfigError::new("partitions", &self.partitions, allowed)
        })?;
        let reserved = self.reserve.values().sum::<f64>();
        check(reserved < 1.0, || {
            ConfigError::new("reserve", &self.reserve, "below 1.0 together")
        })?;
        let owned = self.partitions.values().sum::<f64>();
        // Ten times 0.1 is a little more than 1.
        check(reserved + owned <= 1.0 + f64::EPSILON * 16.0, || {
            let allowed = "at most 1.0 together, with what is in `reserve`";
            ConfigError::new("partitions", &self.partitions, allowed)
        })
    }

    /// The fields as a snapshot shows them.
    pub(crate) fn describe(&self) -> BTreeMap<&'static str, String> {
        let total = self.total.map_or_else(|| "off".into(), |n| n.to_string());
        BTreeMap::from([
            ("limit", format!("{:?}", self.limit)),
            ("max_queue", self.max_queue.to_string()),
            ("max_wait", format!("{:?}", self.max_wait)),
            ("order", format!("{:?}", self.order)),
            ("reserve", format!("{:?}", self.reserve)),
            ("partitions", format!("{:?}", self.partitions)),
            ("total", total),
            ("max_keys", self.max_keys.to_string()),
            ("key_idle", format!("{:?}", self.key_idle)),
        ])
    }
}

fn check(allowed: bool, error: impl FnOnce() -> ConfigError) -> Result<(), ConfigError> {
    if allowed { Ok(()) } else { Err(error()) }
}

#[cfg(feature = "serde")]
const fn max_keys() -> usize {
    BulkheadConfig::MAX_KEYS
}

#[cfg(feature = "serde")]
const fn key_idle() -> Duration {
    BulkheadConfig::KEY_IDLE
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut BulkheadConfig)) -> String {
        let mut config = BulkheadConfig::new(50);
        change(&mut config);
        config.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(BulkheadConfig::new(1).validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|config| config.total = Some(0)),
            "`total` is Some(0), but must be at least 1, or none"
        );
        assert_eq!(
            refused(|config| config.max_queue = 10),
            "`max_wait` is 0ns, but must be longer than 0 s where `max_queue` is above 0"
        );
    }

    #[test]
    fn every_field_is_checked() {
        fn share(config: &mut BulkheadConfig, share: f64) {
            config.max_queue = 1;
            config.max_wait = Duration::from_secs(1);
            config.partitions.insert("web".to_owned(), share);
        }
        type Change<'a> = &'a dyn Fn(&mut BulkheadConfig);
        let changes: [(&str, Change<'_>); 12] = [
            ("limit", &|config| config.limit = Limit::Fixed(0)),
            ("max_wait", &|config| config.max_queue = 1),
            ("max_queue", &|config| {
                config.max_wait = Duration::from_secs(1)
            }),
            ("reserve", &|config| {
                config.reserve.insert(Priority::High, f64::NAN);
            }),
            ("reserve", &|config| {
                config.reserve.insert(Priority::High, 1.0);
            }),
            ("partitions", &|config| share(config, 0.0)),
            ("partitions", &|config| share(config, 1.1)),
            ("max_queue", &|config| {
                config.partitions.insert("web".to_owned(), 0.5);
            }),
            ("partitions", &|config| {
                config.reserve.insert(Priority::High, 0.3);
                share(config, 0.8);
            }),
            ("total", &|config| config.total = Some(0)),
            ("max_keys", &|config| config.max_keys = 0),
            ("key_idle", &|config| config.key_idle = Duration::ZERO),
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
    fn ten_tenths_are_a_whole() {
        let partitions = (0..10).map(|n| (n.to_string(), 0.1)).collect();
        let config = BulkheadConfig {
            max_queue: 1,
            max_wait: Duration::from_secs(1),
            partitions,
            ..BulkheadConfig::new(50)
        };

        assert_eq!(config.validate(), Ok(()));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let text = r#"{
            "limit": {"fixed": 50}, "max_queue": 10, "max_wait": "500ms", "order": "co_del",
            "reserve": {"critical": 0.1}, "partitions": {"web": 0.5}
        }"#;
        let config: BulkheadConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.max_wait, Duration::from_millis(500));
        assert_eq!(config.reserve[&Priority::Critical], 0.1);
        assert_eq!(config.max_keys, BulkheadConfig::MAX_KEYS);

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<BulkheadConfig>(&text).unwrap(),
            config
        );
    }

    #[cfg(feature = "serde")]
    #[test]
    fn a_limit_is_required_and_an_unknown_field_refused() {
        for (text, field) in [
            ("{}", "limit"),
            (r#"{"limit": {"fixed": 1}, "max_qeue": 3}"#, "max_qeue"),
        ] {
            let error = serde_json::from_str::<BulkheadConfig>(text).unwrap_err();
            assert!(error.to_string().contains(field), "{error}");
        }
    }
}
