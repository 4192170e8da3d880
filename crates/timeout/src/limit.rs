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

impl From<Adaptive> for TimeLimit {
    fn from(adaptive: Adaptive) -> Self {
        Self::Adaptive(adaptive)
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
    ///
    /// With 0.001 or less it takes half as many calls again to follow a service, and some more than
    /// that may be cut off. Where the `percentile` times the `multiplier` alone would cut off a tenth
    /// of the calls or more, up to half of them may be.
    pub max_cut: f64,
    /// The largest share of calls that explore: they go on when their time is up, until `max`, to see
    /// what becomes of calls that are cut off. From 0.001 to 1.0.
    ///
    /// One in ten does of those whose time is up, as long as that is no larger share of all, with up
    /// to three ahead of it; where calls come in a hurry, up to one in six. Eight at a time may take
    /// until `max`: a call that hangs holds a connection, and a place in a bulkhead, for as long.
    /// While these wait, others that explore may take sixteen times the timeout, which is enough to
    /// follow a service that becomes ten times slower meanwhile.
    ///
    /// With a small share it takes longer to learn that calls have begun to hang. Until then they
    /// count as the slow ones that explored before, and the timeout may become longer for a while:
    /// where 5 % of the calls hang, up to 1.5 times what it is without in 300 runs at 0.01, and at
    /// 0.001 above twice that in one run of a hundred. With less nobody would know for so long that
    /// it could go on growing.
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
    /// One call in a hundred waits longer than the timeout at most, whatever becomes of the service.
    pub const EXPLORE: f64 = 0.01;
    const LEAST_EXPLORE: f64 = 0.001;

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
        if !(Self::LEAST_EXPLORE..=1.0).contains(&self.explore) {
            let allowed = "a ratio in 0.001..=1.0";
            return Err(ConfigError::new("limit.explore", self.explore, allowed));
        }
        Ok(())
    }

    /// The timeout during the warm-up.
    pub(crate) fn at_first(&self) -> Duration {
        self.initial.unwrap_or(self.max)
    }

    pub(crate) fn describe(&self, fields: &mut BTreeMap<&'static str, String>) {
        fields.extend([
            ("percentile", self.percentile.to_string()),
            ("multiplier", self.multiplier.to_string()),
            ("min", format!("{:?}", self.min)),
            ("max", format!("{:?}", self.max)),
            ("initial", format!("{:?}", self.at_first())),
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

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut Adaptive)) -> String {
        let mut adaptive = Adaptive::default();
        change(&mut adaptive);
        TimeLimit::from(adaptive)
            .validate()
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn the_defaults_are_allowed() {
        assert_eq!(Adaptive::default().validate(), Ok(()));
        assert_eq!(TimeLimit::default().validate(), Ok(()));
    }

    #[test]
    fn a_refusal_names_the_field_the_value_and_what_is_allowed() {
        assert_eq!(
            refused(|it| it.max = Duration::from_millis(9)),
            "`limit.max` is 9ms, but must be at least `limit.min`, 10ms"
        );
        assert_eq!(
            refused(|it| it.initial = Some(Duration::from_secs(61))),
            "`limit.initial` is 61s, but must be in 10ms..=60s"
        );
        assert_eq!(
            refused(|it| it.multiplier = 0.9),
            "`limit.multiplier` is 0.9, but must be a number from 1.0 on"
        );
        for share in [0.0, -1.0, 1.1, f64::NAN] {
            for message in [
                refused(|it| it.percentile = share),
                refused(|it| it.max_cut = share),
            ] {
                assert!(message.contains("a ratio above 0.0"), "{message}");
            }
        }
        for share in [0.0, 0.0009, 1.1, f64::NAN] {
            let message = refused(|it| it.explore = share);
            assert!(message.ends_with("a ratio in 0.001..=1.0"), "{message}");
        }
        assert!(refused(|it| it.warmup = 0).starts_with("`limit.warmup`"));
        assert!(refused(|it| it.min = Duration::ZERO).starts_with("`limit.min`"));
    }

    #[cfg(feature = "serde")]
    #[test]
    fn reads_what_it_writes() {
        for limit in [
            TimeLimit::None,
            TimeLimit::Fixed(Duration::from_secs(5)),
            Adaptive::default().into(),
        ] {
            let text = serde_json::to_string(&limit).unwrap();
            assert_eq!(serde_json::from_str::<TimeLimit>(&text).unwrap(), limit);
        }
        let limit: TimeLimit = serde_json::from_str(r#"{"adaptive": {"max": "5s"}}"#).unwrap();
        let expected = Adaptive {
            max: Duration::from_secs(5),
            ..Adaptive::default()
        };
        assert_eq!(limit, expected.into());
    }
}
