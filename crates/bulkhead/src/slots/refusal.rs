use std::time::Duration;

use watertight_core::Reason;

/// Why a call gets no slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Refusal {
    /// `BulkheadFull`, `QueueTimeout` or `DeadlineExceeded`.
    pub(crate) reason: Reason,
    /// How long it takes at least until the same call can pass, where that is known.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) const fn new(reason: Reason, retry_after: Option<Duration>) -> Self {
        Self {
            reason,
            retry_after,
        }
    }
}
