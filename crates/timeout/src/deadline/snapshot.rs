use watertight_core::Mode;

/// A look at one layer of deadlines for calls that come in. The counts are those since it was
/// made.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct DeadlineSnapshot {
    /// Whether calls are refused and ended, or only counted.
    pub mode: Mode,
    /// How many calls were refused, since no time was left when they came.
    pub expired: u64,
    /// How many calls were ended at their deadline.
    pub cut_off: u64,
    /// How many calls were served although no time was left when they came.
    pub spared: u64,
    /// How many calls would have been refused in [`Mode::Enforce`].
    pub expired_in_shadow: u64,
    /// How many calls would have been ended in [`Mode::Enforce`]. A body that ends late counts, even
    /// if all of it had come in time: nobody looked.
    pub cut_off_in_shadow: u64,
}
