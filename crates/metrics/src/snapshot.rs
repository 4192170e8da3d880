use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Serialize, Serializer};
use watertight_core::{Mode, Name, Reason};

/// What all layers of a registry look like at one moment.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Snapshot {
    /// The live instances, the oldest first.
    pub instances: Vec<InstanceSnapshot>,
}

/// What one layer looks like. What a layer does not have is `None` or empty.
///
/// The counts are those since the layer was made.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct InstanceSnapshot {
    /// Which pattern it is, such as `breaker`.
    pub kind: &'static str,
    /// The name that the user gave.
    pub name: Name,
    /// The state that it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<StateSnapshot>,
    /// Whether it refuses, or only counts what it would refuse.
    pub mode: Mode,
    /// How calls have ended.
    pub calls: CallCounts,
    /// How many calls it has refused, and why.
    pub rejections: Vec<RejectionCount>,
    /// How often it has changed from one state to another.
    pub transitions: Vec<TransitionCount>,
    /// What its pattern counts besides, such as retries.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<PatternCount>,
    /// How many calls have passed and not ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<u64>,
    /// How many calls may be in flight.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    /// How many calls wait for a place.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_depth: Option<u64>,
    /// Which share of what it has is in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub utilization: Option<f64>,
    /// How long calls wait until they are let in, of late and of those that have to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_wait: Option<LatencySnapshot>,
    /// After what time it ends a call now.
    #[serde(serialize_with = "in_seconds", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Duration>,
    /// How many keys it keeps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
    /// How many keys had to go for new ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys_evicted: Option<u64>,
    /// How long calls take of late.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency: Option<LatencySnapshot>,
    /// How long calls have ever taken.
    #[serde(skip)]
    pub durations: Option<DurationCounts>,
    /// The settings in force, by name.
    pub config: BTreeMap<&'static str, String>,
}

impl InstanceSnapshot {
    /// Creates one that has nothing.
    #[must_use]
    pub fn new(kind: &'static str, name: Name) -> Self {
        Self {
            kind,
            name,
            state: None,
            mode: Mode::Enforce,
            calls: CallCounts::default(),
            rejections: Vec::new(),
            transitions: Vec::new(),
            counts: Vec::new(),
            in_flight: None,
            limit: None,
            queue_depth: None,
            utilization: None,
            queue_wait: None,
            timeout: None,
            keys: None,
            keys_evicted: None,
            latency: None,
            durations: None,
            config: BTreeMap::new(),
        }
    }

    /// Sets how many calls were refused for each reason, or would have been. Those that were are
    /// [`rejected`](CallCounts::rejected).
    pub fn set_rejections(&mut self, counts: impl IntoIterator<Item = (Reason, Mode, u64)>) {
        let counts = counts.into_iter();
        self.rejections = counts
            .map(|(reason, mode, count)| RejectionCount {
                reason,
                mode,
                count,
            })
            .collect();
        let rejected = self.rejections.iter();
        let enforced = rejected.filter(|it| it.mode == Mode::Enforce);
        self.calls.rejected = enforced.map(|it| it.count).sum();
    }

    /// Returns what has been counted since an `earlier` snapshot of the same instance, and nothing
    /// else.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self::new(self.kind, self.name);
        since.calls = self.calls.since(&earlier.calls);
        since.rejections.clone_from(&self.rejections);
        for rejected in &mut since.rejections {
            let before = earlier
                .rejections
                .iter()
                .find(|before| (before.reason, before.mode) == (rejected.reason, rejected.mode));
            rejected.count -= before.map_or(0, |before| before.count).min(rejected.count);
        }
        since.transitions.clone_from(&self.transitions);
        for change in &mut since.transitions {
            let mut before = earlier.transitions.iter();
            let before = before.find(|before| (before.from, before.to) == (change.from, change.to));
            change.count -= before.map_or(0, |before| before.count).min(change.count);
        }
        since.counts.clone_from(&self.counts);
        for own in &mut since.counts {
            let mut before = earlier.counts.iter();
            let before = before.find(|it| (it.metric, it.label) == (own.metric, own.label));
            own.count -= before.map_or(0, |before| before.count).min(own.count);
        }
        since.durations.clone_from(&self.durations);
        for (duration, count) in since.durations.iter_mut().flat_map(|counts| &mut counts.0) {
            let mut before = earlier.durations.iter().flat_map(|counts| &counts.0);
            let before = before.find(|before| before.0 == *duration);
            *count -= before.map_or(0, |before| before.1).min(*count);
        }
        let before = earlier.keys_evicted.unwrap_or_default();
        since.keys_evicted = self
            .keys_evicted
            .map(|evicted| evicted.saturating_sub(before));
        since
    }
}

/// A state among those that there are.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(into = "&'static str")]
pub struct StateSnapshot {
    /// The state that the layer is in.
    pub current: &'static str,
    /// All that it can be in.
    pub all: &'static [&'static str],
}

impl From<StateSnapshot> for &'static str {
    fn from(state: StateSnapshot) -> Self {
        state.current
    }
}

/// How calls have ended. Each call is in one of the counts, once it has ended.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct CallCounts {
    /// They did what was asked.
    pub success: u64,
    /// They failed.
    pub failure: u64,
    /// Their answer says nothing of the service.
    pub ignored: u64,
    /// The layer refused them.
    pub rejected: u64,
    /// Nobody waited for the answer.
    pub cancelled: u64,
    /// Their result came too late to mean anything.
    pub stale: u64,
}

impl CallCounts {
    const fn since(&self, earlier: &Self) -> Self {
        Self {
            success: self.success.saturating_sub(earlier.success),
            failure: self.failure.saturating_sub(earlier.failure),
            ignored: self.ignored.saturating_sub(earlier.ignored),
            rejected: self.rejected.saturating_sub(earlier.rejected),
            cancelled: self.cancelled.saturating_sub(earlier.cancelled),
            stale: self.stale.saturating_sub(earlier.stale),
        }
    }

    /// Returns the counts with their names.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u64); 6] {
        [
            ("success", self.success),
            ("failure", self.failure),
            ("ignored", self.ignored),
            ("rejected", self.rejected),
            ("cancelled", self.cancelled),
            ("stale", self.stale),
        ]
    }
}

/// How many calls were refused for one reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct RejectionCount {
    /// Why.
    #[serde(serialize_with = "by_name")]
    pub reason: Reason,
    /// Whether they were, or would have been in [`Mode::Enforce`].
    pub mode: Mode,
    /// How many.
    pub count: u64,
}

/// How often a layer went from one state to another.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct TransitionCount {
    /// The state before.
    pub from: &'static str,
    /// The state after.
    pub to: &'static str,
    /// How often.
    pub count: u64,
}

/// What only one pattern counts.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct PatternCount {
    /// The name of the counter in metrics, such as `watertight_retries_total`. Its labels are
    /// `name` and `label`.
    pub metric: &'static str,
    /// What tells it from others of its name, such as `winner` and `hedge`.
    pub label: Option<(&'static str, &'static str)>,
    /// How many.
    pub count: u64,
}

/// How long calls take of late. Serialised in seconds.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize)]
pub struct LatencySnapshot {
    /// Half of the calls take no longer.
    #[serde(serialize_with = "in_seconds")]
    pub p50: Option<Duration>,
    /// 95 % of the calls take no longer.
    #[serde(serialize_with = "in_seconds")]
    pub p95: Option<Duration>,
    /// 99 % of the calls take no longer.
    #[serde(serialize_with = "in_seconds")]
    pub p99: Option<Duration>,
    /// 99.9 % of the calls take no longer.
    #[serde(serialize_with = "in_seconds")]
    pub p999: Option<Duration>,
}

/// How many calls have ever taken how long: durations, each for those within 5 % of it, and how
/// many there were.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DurationCounts(pub Vec<(Duration, u64)>);

fn by_name<S: Serializer>(reason: &Reason, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(reason.as_str())
}

#[allow(clippy::ref_option, reason = "serde hands it over so")]
fn in_seconds<S: Serializer>(time: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.as_secs_f64()).serialize(serializer)
}
