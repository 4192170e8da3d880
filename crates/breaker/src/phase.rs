use watertight_core::{Mode, nanos};
use watertight_metrics::StateChange;

use crate::open_time::OpenTime;
use crate::probes::Probes;
use crate::{BreakerConfig, Recovery, State};

/// A [`State`] with what belongs to it. Times are nanoseconds since the circuit's epoch.
#[derive(Clone, Debug)]
pub(crate) enum Phase {
    /// To `Open` when a rate trips.
    Closed,
    /// To `HalfOpen` at the first call from `until` on.
    Open { until: u64 },
    /// To `Open` or towards `Closed` as the probes decide; to `Open` at `until`.
    HalfOpen { until: u64, probes: Probes },
    /// To `Closed` at the top of the ramp; to `Open` when a rate trips.
    Recovering { since: u64 },
    /// Nothing but a hand leads out of it.
    ForcedOpen,
    /// Nothing but a hand leads out of it.
    ForcedClosed,
}

impl Phase {
    pub(crate) fn half_open(now: u64, config: &BreakerConfig) -> Self {
        Self::HalfOpen {
            until: now.saturating_add(nanos(config.half_open_for())),
            probes: Probes::default(),
        }
    }

    pub(crate) fn recovered(now: u64, config: &BreakerConfig) -> Self {
        match config.recovery {
            Recovery::Immediate => Self::Closed,
            Recovery::Ramp(_) => Self::Recovering { since: now },
        }
    }

    pub(crate) fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen { .. } => State::HalfOpen,
            Self::Recovering { .. } => State::Recovering,
            Self::ForcedOpen => State::ForcedOpen,
            Self::ForcedClosed => State::ForcedClosed,
        }
    }

    /// The time that calls have to know: when the phase ends, or when the ramp began.
    pub(crate) fn mark(&self) -> u64 {
        match self {
            Self::Open { until } | Self::HalfOpen { until, .. } => *until,
            Self::Recovering { since } => *since,
            Self::Closed | Self::ForcedOpen | Self::ForcedClosed => 0,
        }
    }

    /// Whether the results of calls go into the window.
    pub(crate) fn counts(&self) -> bool {
        !matches!(self, Self::Open { .. } | Self::HalfOpen { .. })
    }
}

/// What the circuit's lock guards: changes of state are rare, and happen one at a time.
#[derive(Debug)]
pub(crate) struct Control {
    pub(crate) phase: Phase,
    pub(crate) generation: u32,
    pub(crate) mode: Mode,
    /// How many half-opens and ramps in a row did not lead to `Closed`.
    pub(crate) failed: u32,
    pub(crate) open_time: OpenTime,
    /// Changes that have yet to be logged.
    pub(crate) unlogged: Vec<StateChange>,
}

impl Control {
    /// Opens from `start` on, for the next open time.
    pub(crate) fn opened(&mut self, start: u64, config: &BreakerConfig) -> Phase {
        let time = self.open_time.draw(config, self.failed);
        Phase::Open {
            until: start.saturating_add(nanos(time)),
        }
    }
}
