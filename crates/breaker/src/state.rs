use std::fmt;

/// What a circuit breaker does with calls now.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum State {
    /// Calls pass, and their results are counted.
    #[default]
    Closed,
    /// Calls are refused until the open time is over.
    Open,
    /// A few calls pass as probes, the others are refused. The probes decide.
    HalfOpen,
    /// A growing share of the calls passes, and their results are counted.
    Recovering,
    /// Calls are refused until somebody releases the breaker.
    ForcedOpen,
    /// Calls pass until somebody releases the breaker.
    ForcedClosed,
}

impl State {
    /// The names of all states, in the order of the variants.
    pub(crate) const NAMES: [&'static str; Self::COUNT] = [
        "closed",
        "open",
        "half_open",
        "recovering",
        "forced_open",
        "forced_closed",
    ];
    pub(crate) const COUNT: usize = 6;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Closed,
        Self::Open,
        Self::HalfOpen,
        Self::Recovering,
        Self::ForcedOpen,
        Self::ForcedClosed,
    ];

    /// Returns the state's name in events and metrics, such as `half_open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        Self::NAMES[self as usize]
    }

    /// Whether an operator put the breaker into this state: neither results nor timers move it.
    #[must_use]
    pub const fn is_forced(self) -> bool {
        matches!(self, Self::ForcedOpen | Self::ForcedClosed)
    }

    /// How much is wrong in this state: of many breakers, the gravest speaks for all.
    pub(crate) const fn gravity(self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::ForcedClosed => 1,
            Self::Recovering => 2,
            Self::HalfOpen => 3,
            Self::Open => 4,
            Self::ForcedOpen => 5,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
