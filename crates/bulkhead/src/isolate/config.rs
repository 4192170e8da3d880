use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::{ConfigError, Mode};

use crate::{BulkheadConfig, Order};

/// The settings of an [`IsolateLayer`](crate::IsolateLayer) that are plain data.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(deny_unknown_fields))]
pub struct IsolateConfig {
    /// How many calls may run at once, at least 1.
    pub limit: usize,
    /// How many calls may wait for another to end. 0 turns waiting off.
    #[cfg_attr(feature = "serde", serde(default))]
    pub max_queue: usize,
    /// How long a call may wait. It waits no longer than until its deadline in any case. 0 where
    /// nothing waits, and longer where something may.
    #[cfg_attr(feature = "serde", serde(default, with = "humantime_serde"))]
    pub max_wait: Duration,
    /// Which of the calls that wait is served first.
    #[cfg_attr(feature = "serde", serde(default))]
    pub order: Order,
    /// Whether calls run apart and may be refused. In [`Mode::Shadow`] a call that would be refused
    /// or have to wait runs where it is made, and in [`Mode::Off`] all do.
    #[cfg_attr(feature = "serde", serde(default))]
    pub mode: Mode,
}

impl IsolateConfig {
    /// Makes the settings that are the default but for the limit, which has none. For work that only
    /// computes, give it the cores that it may have.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            max_queue: BulkheadConfig::MAX_QUEUE,
            max_wait: BulkheadConfig::MAX_WAIT,
            order: BulkheadConfig::ORDER,
            mode: Mode::Enforce,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    ///
    /// The first field that is out of its range, with its value and what is allowed.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.of_bulkhead().validate()
    }

    /// The same of a bulkhead that runs its calls where they are made.
    pub(super) fn of_bulkhead(&self) -> BulkheadConfig {
        BulkheadConfig {
            max_queue: self.max_queue,
            max_wait: self.max_wait,
            order: self.order,
            mode: self.mode,
            ..BulkheadConfig::new(self.limit)
        }
    }

    /// The fields as a snapshot shows them.
    pub(super) fn describe(&self) -> BTreeMap<&'static str, String> {
        BTreeMap::from([
            ("limit", self.limit.to_string()),
            ("max_queue", self.max_queue.to_string()),
            ("max_wait", format!("{:?}", self.max_wait)),
            ("order", format!("{:?}", self.order)),
        ])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_checked() {
        assert_eq!(IsolateConfig::new(4).validate(), Ok(()));

        let no_place = IsolateConfig::new(0);
        let no_wait = IsolateConfig {
            max_queue: 1,
            ..IsolateConfig::new(4)
        };
        let no_queue = IsolateConfig {
            max_wait: Duration::from_secs(1),
            ..IsolateConfig::new(4)
        };
        for (field, config) in [
            ("limit", no_place),
            ("max_wait", no_wait),
            ("max_queue", no_queue),
        ] {
            assert_eq!(config.validate().unwrap_err().field(), field);
        }
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes_and_fills_in_what_is_missing() {
        let text = r#"{"limit": 4, "max_queue": 10, "max_wait": "500ms"}"#;
        let config: IsolateConfig = serde_json::from_str(text).unwrap();
        assert_eq!(config.max_wait, Duration::from_millis(500));
        assert_eq!(config.order, Order::Fifo);

        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(
            serde_json::from_str::<IsolateConfig>(&text).unwrap(),
            config
        );
    }
}
