/// What a call has a place in the queue by. The smallest is the best.
///
/// Where there is no place left, the one with the weakest claim goes without: of those who wait, and
/// the one who comes.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Claim {
    pub(super) within: Within,
    /// How soon it is served of those who are within the same.
    pub(super) rank: i64,
}

/// What of its partition's a call is within.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Within {
    /// Its partition has got no more than the slots that belong to it, with those that wait for one.
    Slots,
    /// Nor more than what belongs to it of slots and of places in the queue.
    Places,
    /// What it has is lent.
    Nothing,
}
