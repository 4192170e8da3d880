use watertight_core::Mode;

/// A look at one layer that passes deadlines on. The counts are those since it was made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PropagateDeadlineSnapshot {
    /// Whether deadlines are passed on and calls refused, or only counted.
    pub mode: Mode,
    /// How many calls were not made, since too little time was left.
    pub refused: u64,
    /// How many calls were answered, once their time was over, that it is: by the next service, or
    /// by the timer of a client.
    pub exceeded: u64,
    /// How many calls would not have been made in [`Mode::Enforce`].
    pub refused_in_shadow: u64,
}
