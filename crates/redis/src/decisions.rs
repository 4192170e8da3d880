//! How decisions are made, and made one of several.

use std::time::Duration;

use watertight_ratelimit::{Decision, Status};

pub(crate) const fn admitted(status: Status) -> Decision {
    Decision {
        admitted: true,
        status,
        retry_after: None,
    }
}

pub(crate) const fn refused(status: Status, retry_after: Option<Duration>) -> Decision {
    Decision {
        admitted: false,
        status,
        retry_after,
    }
}

/// Returns what is decided where there are no quotas.
pub(crate) fn nothing() -> Decision {
    admitted(Status::default())
}

/// Returns what is decided if both quotas have to be met, the first of equal ones.
pub(crate) fn stricter(first: Decision, second: Decision) -> Decision {
    let wait = |decision: &Decision| decision.retry_after.unwrap_or(Duration::MAX);
    let second_is_stricter = match (first.admitted, second.admitted) {
        (true, true) => second.status.remaining < first.status.remaining,
        (false, false) => wait(&second) > wait(&first),
        (first, _) => first,
    };
    if second_is_stricter { second } else { first }
}
