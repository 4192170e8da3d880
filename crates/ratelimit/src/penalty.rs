use std::fmt;

use watertight_core::Outcome;

/// Says what a call is charged for how it ended, besides what it cost.
///
/// A closure becomes one by [`penalty`](crate::RateLimitBuilder::penalty).
pub trait Penalty {
    /// Returns how many more tokens the call takes. They are taken even if they are not there, as
    /// far as the [debt](crate::Quota::debt) of the quota goes.
    fn penalty(&self, outcome: &Outcome) -> u64;
}

/// Charges nothing: the default.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct NoPenalty;

impl Penalty for NoPenalty {
    #[inline]
    fn penalty(&self, _: &Outcome) -> u64 {
        0
    }
}

/// A closure that sets penalties. Made by `.penalty(..)` on a builder.
#[derive(Clone)]
pub struct PenaltyFn<F>(pub(crate) F);

impl<F: Fn(&Outcome) -> u64> Penalty for PenaltyFn<F> {
    fn penalty(&self, outcome: &Outcome) -> u64 {
        (self.0)(outcome)
    }
}

impl<F> fmt::Debug for PenaltyFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PenaltyFn")
    }
}
