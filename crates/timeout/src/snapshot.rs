use std::time::Duration;

use watertight_core::Mode;

/// A look at one timeout. The counts are those since the layer was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TimeoutSnapshot {
    /// Whether calls are ended, or only counted.
    pub mode: Mode,
    /// After what time a call is ended now. `None` if that is not known before a call comes.
    pub timeout: Option<Duration>,
    /// How many calls were ended by the timeout.
    pub timed_out: u64,
    /// How many calls were ended by the deadline of their context, or refused for it.
    pub deadline_exceeded: u64,
    /// How many calls were refused because the inner service was not ready in time.
    pub not_ready: u64,
    /// How many calls would have been ended or refused in [`Mode::Enforce`].
    pub in_shadow: u64,
    /// How many calls went on when their time was up, to see how long they take.
    pub explored: u64,
}
