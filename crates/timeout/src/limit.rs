use std::collections::BTreeMap;
use std::time::Duration;

use watertight_core::ConfigError;

use crate::config::check_not_zero;

/// How long a call may take.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum TimeLimit {
    /// Until the deadline of its [`Context`](watertight_core::Context).
    #[default]
    None,
    /// This long, above zero. `Duration::MAX` is as long as it takes.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    Fixed(Duration),
    /// About as long as the calls of late took.
    Adaptive(Adaptive),
}

impl TimeLimit {
    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        match self {
            Self::None => Ok(()),
            Self::Fixed(limit) => check_not_zero("limit", *limit),
            Self::Adaptive(adaptive) => adaptive.validate(),
        }
    }
}

/// The settings of a timeout that follows the service.
///
/// The timeout is the `percentile` of what calls take, times the `multiplier`; longer where that
/// would cut off more than `max_cut` of the calls that would have ended; and between `min` and
/// `max`.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(default, deny_unknown_fields))]
pub struct Adaptive {
    /// The share of calls that are no slower than usual, above 0.0 and up to 1.0.
    pub percentile: f64,
    /// How many times as long as that a call may take, at least 1.0.
    pub multiplier: f64,
    /// The shortest timeout, above zero.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub min: Duration,
    /// The longest timeout, and how long a call may take that [explores](Self::explore). What does
    /// not end by then hangs.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub max: Duration,
    /// The timeout during the warm-up. `None` is `max`.
    #[cfg_attr(feature = "serde", serde(with = "humantime_serde"))]
    pub initial: Option<Duration>,
    /// How many calls make the warm-up, at least 1.
    pub warmup: u32,
    /// The largest share of calls that may be cut off though they would have ended by `max`, above
    /// 0.0 and up to 1.0.
    pub max_cut: f64,
    /// The share of calls that may take until `max`, to see what becomes of calls that are cut off,
    /// above 0.0 and up to 1.0.
    pub explore: f64,
}

impl Adaptive {
    /// High enough to leave out the luck of single calls, low enough to be known after few.
    pub const PERCENTILE: f64 = 0.95;
    /// With less, the usual jitter of a service would be cut off.
    pub const MULTIPLIER: f64 = 1.5;
    /// Timers tick in milliseconds, and one pause of a scheduler takes some of them.
    pub const MIN: Duration = Duration::from_millis(10);
    /// Nobody waits longer than a minute.
    pub const MAX: Duration = Duration::from_secs(60);
    /// With fewer, the 95th percentile is the luck of the five slowest.
    pub const WARMUP: u32 = 100;
    /// As many as a retry can repeat within a tenth of its budget.
    pub const MAX_CUT: f64 = 0.01;
    /// One call in a hundred: it waits as long as it would without the layer.
    pub const EXPLORE: f64 = 0.01;

    pub(crate) fn validate(&self) -> Result<(), ConfigError> {
        check_share("limit.percentile", self.percentile)?;
        if !(self.multiplier >= 1.0 && self.multiplier.is_finite()) {
            let (field, allowed) = ("limit.multiplier", "a number from 1.0 on");
            return Err(ConfigError::new(field, self.multiplier, allowed));
        }
        check_not_zero("limit.min", self.min)?;
        if self.max < self.min {
            let allowed = format!("at least `limit.min`, {:?}", self.min);
            return Err(ConfigError::new("limit.max", self.max, allowed));
        }
        if let Some(initial) = self.initial
            && !(self.min..=self.max).contains(&initial)
        {
            let allowed = format!("in {:?}..={:?}", self.min, self.max);
            return Err(ConfigError::new("limit.initial", initial, allowed));
        }
        if self.warmup == 0 {
            return Err(ConfigError::new("limit.warmup", 0, "at least 1"));
        }
        check_share("limit.max_cut", self.max_cut)?;
        check_share("limit.explore", self.explore)
    }

    /// The timeout during the warm-up.
    pub(crate) fn initial(&self) -> Duration {
        self.initial.unwrap_or(self.max)
    }

    pub(crate) fn describe(&self, fields: &mut BTreeMap<&'static str, String>) {
        fields.extend([
            ("percentile", self.percentile.to_string()),
            ("multiplier", self.multiplier.to_string()),
            ("min", format!("{:?}", self.min)),
            ("max", format!("{:?}", self.max)),
            ("initial", format!("{:?}", self.initial())),
            ("warmup", self.warmup.to_string()),
            ("max_cut", self.max_cut.to_string()),
            ("explore", self.explore.to_string()),
        ]);
    }
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            percentile: Self::PERCENTILE,
            multiplier: Self::MULTIPLIER,
            min: Self::MIN,
            max: Self::MAX,
            initial: None,
            warmup: Self::WARMUP,
            max_cut: Self::MAX_CUT,
            explore: Self::EXPLORE,
        }
    }
}

fn check_share(field: &'static str, value: f64) -> Result<(), ConfigError> {
    if value > 0.0 && value <= 1.0 {
        return Ok(());
    }
    let allowed = "a ratio above 0.0 and up to 1.0";
    Err(ConfigError::new(field, value, allowed))
}
