use std::time::Duration;

use watertight_core::Mode;

/// A look at one hedge. The counts are those since the layer was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HedgeSnapshot {
    /// Whether hedges are sent, or only counted.
    pub mode: Mode,
    /// After what time a call is hedged now. `None` if that is not known yet, or never.
    pub delay: Option<Duration>,
    /// How many hedges were sent.
    pub sent: u64,
    /// How many calls were answered by a hedge.
    pub won_by_hedge: u64,
    /// How many calls with a hedge were answered by their first attempt.
    pub won_by_primary: u64,
    /// For how many hedges there was no budget.
    pub refused_by_budget: u64,
    /// How many hedges would have been sent in [`Mode::Enforce`].
    pub sent_in_shadow: u64,
}
