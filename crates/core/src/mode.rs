/// Whether a layer that can refuse or delay calls does so.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(rename_all = "snake_case"))]
pub enum Mode {
    /// Refuses and delays.
    #[default]
    Enforce,
    /// Refuses and delays nothing, but decides and counts as if it did: a call that would have
    /// been refused passes at once, is reported as refused in shadow, and its result does not
    /// vote.
    Shadow,
    /// Does nothing and counts nothing.
    Off,
}

impl Mode {
    /// Returns the mode's name in events and metrics, such as `shadow`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Enforce => "enforce",
            Self::Shadow => "shadow",
            Self::Off => "off",
        }
    }
}
