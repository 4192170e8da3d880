use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::machine::Machine;
use super::settings::{Settings, Style};
use crate::{ConfigError, FailureKind};

/// How much extra work, such as retries and hedges, may come on top of the calls.
#[derive(Clone)]
pub struct Budget {
    shared: Arc<Shared>,
}

struct Shared {
    settings: Settings,
    machine: Machine,
}

impl Budget {
    /// How many extra attempts per second a budget of a ratio always allows, unless
    /// [`min_per_second`](Self::min_per_second) says otherwise: a client that makes but a few calls
    /// can retry, too.
    pub const MIN_PER_SECOND: f64 = 10.0;

    /// The most that [`min_per_second`](Self::min_per_second) may be.
    pub const MAX_PER_SECOND: f64 = 1_000_000.0;

    /// How long first attempts count for a budget of a ratio, unless [`window`](Self::window) says
    /// otherwise: long enough to smooth, short enough to forget before an outage is over.
    pub const WINDOW: Duration = Duration::from_secs(10);

    /// The shortest [`window`](Self::window).
    pub const MIN_WINDOW: Duration = Duration::from_millis(1);

    /// The longest [`window`](Self::window).
    pub const MAX_WINDOW: Duration = Duration::from_secs(3_600);

    /// A ratio is below this: who writes 5, 10 or 20 means per cent.
    pub const RATIO_BELOW: f64 = 5.0;

    /// What an extra attempt takes from a budget of [`tokens`](Self::tokens), unless
    /// [`cost`](Self::cost) says otherwise.
    pub const COST: u32 = 14;

    /// The same after a failure of the kind [`RateLimited`](FailureKind::RateLimited) or
    /// [`Overloaded`](FailureKind::Overloaded).
    pub const THROTTLED_COST: u32 = 5;

    /// The most tokens of a budget in the style of [gRPC](Self::grpc).
    pub const MAX_GRPC_TOKENS: u32 = 1_000;

    /// Allows `ratio` extra attempts for each first attempt of the last [`window`](Self::window).
    #[must_use]
    pub fn ratio(ratio: f64) -> Self {
        Self::of(Settings::ratio(ratio))
    }

    /// Sets how many extra attempts per second a budget of a ratio always allows.
    #[must_use]
    pub fn min_per_second(self, min: f64) -> Self {
        Self::of(self.shared.settings.min_per_second(min))
    }

    /// Sets over how long a budget of a ratio counts.
    #[must_use]
    pub fn window(self, window: Duration) -> Self {
        Self::of(self.shared.settings.window(window))
    }

    /// A bucket of tokens.
    #[must_use]
    pub fn tokens(capacity: u32) -> Self {
        Self::of(Settings::tokens(capacity))
    }

    /// Sets what an extra attempt after a failure of `kind` takes from a budget of tokens.
    #[must_use]
    pub fn cost(self, kind: FailureKind, cost: u32) -> Self {
        Self::of(self.shared.settings.cost(kind, cost))
    }

    /// The throttle of gRPC (gRFC A6).
    #[must_use]
    pub fn grpc(max_tokens: u32, token_ratio: f64) -> Self {
        Self::of(Settings::of(Style::Grpc {
            max_tokens,
            token_ratio,
        }))
    }

    /// Allows `ratio` extra attempts in flight for each call in flight, and always `floor`.
    #[must_use]
    pub fn concurrent(ratio: f64, floor: u32) -> Self {
        Self::of(Settings::of(Style::Concurrent { ratio, floor }))
    }

    /// Allows every extra attempt.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::of(Settings::of(Style::Unlimited))
    }

    /// Checks the settings.
    ///
    /// # Errors
    ///
    /// If a setting cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        self.shared.settings.validate()
    }

    pub(super) fn machine(&self) -> &Machine {
        &self.shared.machine
    }

    fn of(settings: Settings) -> Self {
        Self {
            shared: Arc::new(Shared {
                settings,
                machine: Machine::new(&settings, Instant::now()),
            }),
        }
    }
}

impl From<f64> for Budget {
    fn from(ratio: f64) -> Self {
        Self::ratio(ratio)
    }
}

impl AsRef<Self> for Budget {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Budget")
            .field(&self.shared.settings)
            .finish()
    }
}
