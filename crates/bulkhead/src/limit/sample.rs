use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{FailureKind, Outcome};

/// What a finished call tells about the service's room.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// When the call ended.
    pub ended: Instant,
    /// How long it was in flight. What it waited in the queue is not part of it.
    pub duration: Duration,
    /// How many calls were in flight as it ended, itself included.
    pub in_flight: usize,
    /// Whether the service was too busy for it: it timed out, or was turned away. Then `duration`
    /// is not the service's time.
    pub dropped: bool,
}

impl Sample {
    /// Returns whether the service was too busy for a call that ended so, or `None` of a call that
    /// says nothing about how busy it is, and is no sample.
    ///
    /// Successes are samples, and so are timeouts and answers that say that there is too much to
    /// do ([`Overloaded`](FailureKind::Overloaded), [`RateLimited`](FailureKind::RateLimited)):
    /// they are drops. Other failures may be fast however busy the service is, and are none.
    pub(crate) const fn dropped(outcome: &Outcome) -> Option<bool> {
        match outcome {
            Outcome::Success => Some(false),
            Outcome::Failure(failure) => match failure.kind {
                FailureKind::Timeout | FailureKind::Overloaded | FailureKind::RateLimited => {
                    Some(true)
                }
                _ => None,
            },
            Outcome::Ignored => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_drops_from_answers_and_from_what_says_nothing() {
        let dropped = |outcome: Outcome| Sample::dropped(&outcome);

        assert_eq!(dropped(Outcome::Success), Some(false));
        assert_eq!(dropped(Outcome::Ignored), None);
        for (kind, expected) in [
            (FailureKind::Timeout, Some(true)),
            (FailureKind::Overloaded, Some(true)),
            (FailureKind::RateLimited, Some(true)),
            (FailureKind::Connect, None),
            (FailureKind::Server, None),
            (FailureKind::Client, None),
            (FailureKind::Rejected, None),
            (FailureKind::Other, None),
        ] {
            assert_eq!(dropped(Outcome::failure(kind)), expected, "{kind:?}");
        }
    }
}
