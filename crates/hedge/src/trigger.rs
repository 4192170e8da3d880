use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use watertight_core::ConfigError;

use crate::Latencies;

/// When a hedge is sent: how long a call waits for its answer before it asks once more.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Trigger {
    /// After as long as this share of the recent calls took, above 0.0 and up to 1.0.
    ///
    /// 0.98 has about 2 % of the calls hedged, however fast or slow the service is.
    Percentile(f64),
    /// After this time. Zero sends all copies at once.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    After(Duration),
    /// After what a closure says. It cannot be written to a file.
    #[cfg_attr(feature = "serde", serde(skip))]
    Custom(DelayFn),
}

impl Trigger {
    /// Makes a trigger of a closure. `None` is: this call is not hedged.
    ///
    /// It is asked once for each call whose answer is not there at the first poll.
    pub fn custom(delay: impl Fn(&Latencies) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Self::Custom(DelayFn(Arc::new(delay)))
    }

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match *self {
            Self::Percentile(p) if !(p > 0.0 && p <= 1.0) => Err(ConfigError::new(
                "trigger.percentile",
                p,
                "a ratio above 0.0 and up to 1.0",
            )),
            _ => Ok(()),
        }
    }
}

/// A closure that says after what time a call is hedged. Made by [`Trigger::custom`].
#[derive(Clone)]
pub struct DelayFn(Arc<Delay>);

type Delay = dyn Fn(&Latencies) -> Option<Duration> + Send + Sync;

impl DelayFn {
    pub(crate) fn ask(&self, latencies: &Latencies) -> Option<Duration> {
        (self.0)(latencies)
    }
}

/// Two are equal if they are one.
impl PartialEq for DelayFn {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl fmt::Debug for DelayFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DelayFn")
    }
}
