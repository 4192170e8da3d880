use std::time::Duration;

use watertight_core::{BoxError, Name, Reason, Rejection};

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

    /// Returns what the instance `name` says to whom it refuses.
    pub(crate) fn error(self, name: Name) -> BoxError {
        let rejection = Rejection::new(self.reason, name);
        match self.retry_after {
            Some(after) => rejection.with_retry_after(after).into(),
            None => rejection.into(),
        }
    }
}
