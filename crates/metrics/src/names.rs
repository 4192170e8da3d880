//! All names of metrics, with what they mean.

use metrics::{Recorder, Unit};
use watertight_core::Name;

pub(crate) const CALLS: &str = "watertight_calls_total";
pub(crate) const REJECTIONS: &str = "watertight_rejections_total";
pub(crate) const CALL_DURATION: &str = "watertight_call_duration_seconds";
pub(crate) const IN_FLIGHT: &str = "watertight_in_flight";
pub(crate) const LIMIT: &str = "watertight_limit";
pub(crate) const QUEUE_DEPTH: &str = "watertight_queue_depth";
pub(crate) const UTILIZATION: &str = "watertight_utilization";
pub(crate) const TIMEOUT: &str = "watertight_timeout_seconds";
pub(crate) const KEYS: &str = "watertight_keys";
pub(crate) const KEYS_EVICTED: &str = "watertight_keys_evicted_total";
pub(crate) const INSTANCES: &str = "watertight_instances";

/// The gauge of the states of one kind of layer, such as `watertight_breaker_state`.
pub(crate) fn state(kind: &str) -> &'static str {
    Name::new(&format!("watertight_{kind}_state")).as_str()
}

/// The counter of the changes between them, such as `watertight_breaker_transitions_total`.
pub(crate) fn transitions(kind: &str) -> &'static str {
    Name::new(&format!("watertight_{kind}_transitions_total")).as_str()
}

/// Tells a recorder what the metrics mean.
pub(crate) fn describe(recorder: &dyn Recorder) {
    for (name, what) in [
        (CALLS, "Calls that have ended, by outcome"),
        (REJECTIONS, "Calls that a layer refused, by reason"),
        (KEYS_EVICTED, "Keys that had to go for new ones"),
        ("watertight_breaker_transitions_total", "Changes of state"),
        ("watertight_retries_total", "Attempts after the first"),
        (
            "watertight_retry_budget_exhausted_total",
            "Retries for which there was no budget",
        ),
        (
            "watertight_retries_given_up_total",
            "Failed calls that were not retried, by reason",
        ),
        ("watertight_hedges_total", "Hedged calls, by who won"),
    ] {
        recorder.describe_counter(name.into(), Some(Unit::Count), what.into());
    }
    for (name, what) in [
        (IN_FLIGHT, "Calls that have passed a layer and not ended"),
        (LIMIT, "Calls that may be in flight"),
        (QUEUE_DEPTH, "Calls that wait for a place"),
        (KEYS, "Keys that a layer keeps"),
        (INSTANCES, "Live layers of a kind"),
        ("watertight_breaker_state", "1 for the state that it is in"),
    ] {
        recorder.describe_gauge(name.into(), Some(Unit::Count), what.into());
    }
    let what = "The share of what a layer has that is in use";
    recorder.describe_gauge(UTILIZATION.into(), None, what.into());
    let what = "After what time a call is ended";
    recorder.describe_gauge(TIMEOUT.into(), Some(Unit::Seconds), what.into());
    let what = "How long calls take";
    recorder.describe_histogram(CALL_DURATION.into(), Some(Unit::Seconds), what.into());
}
