/// Why a failed call is not retried. The first in order that holds is the one.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum GiveUp {
    /// The failure is not one that passes.
    NotRetryable,
    /// The user's predicate says no.
    Predicate,
    /// A retry layer below has tried already.
    Marked,
    /// The request came in as a retry of somebody above, who will try again.
    Upstream,
    /// All attempts have been made.
    Attempts,
    /// The service wants to be left alone for longer than is honoured.
    Hint,
    /// The call would take too long.
    Elapsed,
    /// The caller would not wait for another attempt.
    Deadline,
    /// The request may not be sent twice, or cannot be.
    NotRepeatable,
    /// The budget is used up.
    Budget,
    /// It would be retried, but for [`Mode::Shadow`](watertight_core::Mode::Shadow).
    Shadow,
}

impl GiveUp {
    pub(crate) const ALL: [Self; 11] = [
        Self::NotRetryable,
        Self::Predicate,
        Self::Marked,
        Self::Upstream,
        Self::Attempts,
        Self::Hint,
        Self::Elapsed,
        Self::Deadline,
        Self::NotRepeatable,
        Self::Budget,
        Self::Shadow,
    ];

    /// The reason's name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::NotRetryable => "not_retryable",
            Self::Predicate => "predicate",
            Self::Marked => "marked",
            Self::Upstream => "upstream_attempt",
            Self::Attempts => "attempts",
            Self::Hint => "hint",
            Self::Elapsed => "elapsed",
            Self::Deadline => "deadline",
            Self::NotRepeatable => "not_repeatable",
            Self::Budget => "budget",
            Self::Shadow => "shadow",
        }
    }

    /// Whether the call is one for [`exhausted`](crate::RetryBuilder::exhausted): it may succeed
    /// later, but nobody makes it again.
    pub(crate) const fn is_for_a_letter(self) -> bool {
        self.is_exhaustion() || matches!(self, Self::Hint)
    }

    /// Whether this layer has done what it could, or what the budget allows, about a failure that
    /// may pass: those above are not to begin anew.
    pub(crate) const fn is_exhaustion(self) -> bool {
        matches!(
            self,
            Self::Marked | Self::Attempts | Self::Elapsed | Self::Deadline | Self::Budget
        )
    }
}
