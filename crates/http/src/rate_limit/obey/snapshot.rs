use watertight_core::Mode;
use watertight_metrics::LatencySnapshot;

/// A look at an [`ObeyServerLayer`](super::ObeyServerLayer).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObeyServerSnapshot {
    /// Whether calls wait and are refused.
    pub mode: Mode,
    /// How many servers are known.
    pub servers: usize,
    /// How many calls wait.
    pub waiting: usize,
    /// How many calls had to wait, and were made then.
    pub delayed: u64,
    /// How many calls were refused.
    pub refused: u64,
    /// How many calls would have had to wait, but for [`Mode::Shadow`].
    pub refused_in_shadow: u64,
    /// How long calls wait, of those that have to.
    pub queue_wait: Option<LatencySnapshot>,
}
