use std::time::Duration;

use watertight_core::{Mode, Standing};

use crate::State;

/// A look at one breaker.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BreakerSnapshot {
    /// What it does with calls.
    pub state: State,
    /// Whether it does so, or only counts.
    pub mode: Mode,
    /// What is in its window. In [`State::Open`] that is what was in it when it opened, of which a
    /// window of time goes on forgetting, and in [`State::HalfOpen`] it is nothing.
    pub standing: Standing,
    /// How many calls must be in the window before a rate counts.
    pub min_calls: u32,
    /// How long it stays open.
    pub retry_after: Option<Duration>,
    /// How many probes are in flight.
    pub probes_in_flight: u32,
    /// How often in a row it was half-open, or recovering, and did not close.
    pub failed_recoveries: u32,
}

impl BreakerSnapshot {
    /// Returns the share of failures, or `None` if there are too few calls for one.
    #[must_use]
    pub fn failure_rate(&self) -> Option<f64> {
        self.enough()?.failure_rate()
    }

    /// Returns the share of slow calls, or `None` if there are too few calls for one.
    #[must_use]
    pub fn slow_rate(&self) -> Option<f64> {
        self.enough()?.slow_rate()
    }

    fn enough(&self) -> Option<&Standing> {
        (self.standing.calls >= u64::from(self.min_calls)).then_some(&self.standing)
    }
}
