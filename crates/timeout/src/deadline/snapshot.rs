use watertight_core::Mode;
use watertight_metrics::LatencySnapshot;

/// A look at one layer of deadlines for calls that come in. The counts are those since it was
/// made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadlineSnapshot {
    /// Whether calls are refused and ended, or only counted.
    pub mode: Mode,
    /// How many calls were refused, since no time was left when they came.
    pub expired: u64,
    /// How many calls were ended at their deadline. The body of a response that is cut off counts
    /// only where the call lasts until its end, as with `AtBodyEnd` of `watertight-http`.
    pub cut_off: u64,
    /// How many calls were served although no time was left when they came.
    pub spared: u64,
    /// How many calls would have been refused in [`Mode::Enforce`].
    pub expired_in_shadow: u64,
    /// How many calls would have been ended in [`Mode::Enforce`].
    pub cut_off_in_shadow: u64,
    /// How much time calls have left as they come, of late: of those that say so, or have a deadline
    /// already. `None` unless that is [recorded](crate::DeadlineConfig::record_times).
    pub time_left: Option<LatencySnapshot>,
    /// How late calls are, of late, whose deadline has passed as they come. That is one which was
    /// set around the layer: a caller who says that no time is left does not say since when, and
    /// counts as [`time_left`](Self::time_left) of nothing. `None` unless that is recorded.
    pub late_by: Option<LatencySnapshot>,
}
