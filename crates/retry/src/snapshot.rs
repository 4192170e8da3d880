use std::collections::BTreeMap;

use watertight_core::Mode;

/// A look at one retry layer. The counts are those since it was made.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct RetrySnapshot {
    /// Whether it retries calls, or only counts.
    pub mode: Mode,
    /// How many calls have passed it and not ended.
    pub in_flight: usize,
    /// How many attempts were made after the first ones.
    pub retries: u64,
    /// How many exhausted calls found no place in the channel for them, or had a request that could
    /// not be made once more.
    pub letters_lost: u64,
    /// How many failed answers were not retried, by the reason. The reasons are those of the metric
    /// `watertight_retries_given_up_total`.
    pub given_up: BTreeMap<&'static str, u64>,
}
