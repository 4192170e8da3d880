use watertight_core::Standing;
use watertight_metrics::Figures;

use crate::BreakerConfig;

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// Too large a share of the calls failed.
    FailureRate,
    /// Too large a share of the calls was slow.
    SlowRate,
    /// Too many calls in a row failed.
    ConsecutiveFailures,
    /// An answer asked to be left alone.
    RetryAfter,
    /// The open time is over, and a call came.
    OpenTimeOver,
    /// Probes failed.
    ProbesFailed,
    /// Probes succeeded.
    ProbesSucceeded,
    /// The breaker was half-open for too long.
    HalfOpenTimeout,
    /// The ramp is at its top.
    RampDone,
    /// Somebody wanted it so.
    Manual,
}

impl Cause {
    /// The cause's name in events.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::FailureRate => "failure_rate",
            Self::SlowRate => "slow_rate",
            Self::ConsecutiveFailures => "consecutive_failures",
            Self::RetryAfter => "retry_after",
            Self::OpenTimeOver => "open_time_over",
            Self::ProbesFailed => "probes_failed",
            Self::ProbesSucceeded => "probes_succeeded",
            Self::HalfOpenTimeout => "half_open_timeout",
            Self::RampDone => "ramp_done",
            Self::Manual => "manual",
        }
    }
}

/// Returns why a breaker with this `standing` has to open, if it has to.
pub(crate) fn trips(config: &BreakerConfig, standing: &Standing) -> Option<Cause> {
    let in_a_row = config.consecutive_failures;
    if in_a_row > 0 && standing.consecutive_failures >= in_a_row {
        return Some(Cause::ConsecutiveFailures);
    }
    if too_few(config, standing) {
        return None;
    }
    if reaches(standing.failure_rate(), config.failure_rate) {
        return Some(Cause::FailureRate);
    }
    if config.slow_call.is_some() && reaches(standing.slow_rate(), config.slow_rate) {
        return Some(Cause::SlowRate);
    }
    None
}

/// Whether there are too few calls for a rate to count.
pub(crate) fn too_few(config: &BreakerConfig, standing: &Standing) -> bool {
    standing.calls < u64::from(config.calls_needed())
}

/// Whether one more success may open a breaker with this `standing`: by being the call that makes
/// the rate count, by coming when successes have left a window of time, or by being looked at when
/// another has not been.
pub(crate) fn may_trip_on_success(config: &BreakerConfig, standing: &Standing) -> bool {
    config.window.is_timed()
        || too_few(config, standing) && (standing.failures > 0.0 || standing.slow > 0)
        || trips(config, standing).is_some()
}

fn reaches(rate: Option<f64>, threshold: f64) -> bool {
    threshold > 0.0 && rate.is_some_and(|rate| rate >= threshold)
}

/// The figures of `standing` for an event.
pub(crate) fn figures(standing: &Standing) -> Figures {
    Figures {
        calls: Some(standing.calls),
        failure_rate: standing.failure_rate(),
        slow_rate: standing.slow_rate(),
        consecutive_failures: Some(u64::from(standing.consecutive_failures)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn standing(calls: u64, failures: f64, slow: u64, in_a_row: u32) -> Standing {
        Standing {
            calls,
            failures,
            slow,
            consecutive_failures: in_a_row,
        }
    }

    fn config() -> BreakerConfig {
        BreakerConfig {
            min_calls: 5,
            ..BreakerConfig::default()
        }
    }

    #[test]
    fn a_rate_equal_to_its_threshold_trips() {
        assert_eq!(
            trips(&config(), &standing(10, 5.0, 0, 0)),
            Some(Cause::FailureRate)
        );
        assert_eq!(trips(&config(), &standing(10, 4.999, 0, 0)), None);
    }

    #[test]
    fn too_few_calls_have_no_rate() {
        assert_eq!(trips(&config(), &standing(4, 4.0, 0, 0)), None);
        assert_eq!(
            trips(&config(), &standing(5, 5.0, 0, 0)),
            Some(Cause::FailureRate)
        );
    }

    #[test]
    fn without_a_minimum_the_first_failure_trips_and_an_empty_window_does_not() {
        let config = BreakerConfig {
            min_calls: 0,
            ..config()
        };

        assert_eq!(trips(&config, &standing(0, 0.0, 0, 0)), None);
        assert_eq!(
            trips(&config, &standing(1, 1.0, 0, 0)),
            Some(Cause::FailureRate)
        );
    }

    #[test]
    fn a_threshold_of_zero_turns_only_its_own_dimension_off() {
        let no_rate = BreakerConfig {
            failure_rate: 0.0,
            consecutive_failures: 3,
            ..config()
        };
        let nothing = BreakerConfig {
            consecutive_failures: 0,
            slow_rate: 0.0,
            ..no_rate
        };
        let all_failed = standing(100, 100.0, 100, 100);

        assert_eq!(
            trips(&no_rate, &all_failed),
            Some(Cause::ConsecutiveFailures)
        );
        assert_eq!(trips(&nothing, &all_failed), None);
    }

    #[test]
    fn slow_calls_trip_by_their_own_share_where_calls_can_be_slow() {
        let timed = BreakerConfig {
            slow_call: Some(Duration::from_secs(1)),
            ..config()
        };

        assert_eq!(
            trips(&timed, &standing(10, 0.0, 10, 0)),
            Some(Cause::SlowRate)
        );
        assert_eq!(trips(&timed, &standing(10, 0.0, 9, 0)), None);
        // What was slow before slow calls were turned off.
        assert_eq!(trips(&config(), &standing(10, 0.0, 10, 0)), None);
    }

    #[test]
    fn a_success_may_trip_only_by_making_the_rate_count() {
        assert!(may_trip_on_success(&config(), &standing(4, 3.0, 0, 3)));
        assert!(!may_trip_on_success(&config(), &standing(4, 0.0, 0, 0)));
        assert!(!may_trip_on_success(&config(), &standing(5, 2.0, 0, 0)));
    }
}
