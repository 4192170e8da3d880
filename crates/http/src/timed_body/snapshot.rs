use watertight_core::Mode;

/// A look at one layer that limits how long bodies take. The counts are those since it was made.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct BodyTimeoutSnapshot {
    /// Whether bodies are cut off, or only counted.
    pub mode: Mode,
    /// How many were cut off.
    pub timed_out: u64,
    /// How many would have been cut off in [`Mode::Enforce`].
    pub in_shadow: u64,
}
