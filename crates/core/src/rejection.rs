use std::error::Error;
use std::fmt;
use std::time::Duration;

use crate::{Name, Outcome, Reason, causes};

/// What a layer says when it ends a call itself.
///
/// It is the one error type of all watertight layers: boxed once, as a
/// [`BoxError`](crate::BoxError), and found again by [`Rejection::find`]. An error of the inner
/// service is never turned into one.
///
/// ```
/// use std::time::Duration;
/// use watertight_core::{BoxError, Name, Reason, Rejection};
///
/// let error: BoxError = Rejection::new(Reason::CircuitOpen, Name::new("payments"))
///     .with_retry_after(Duration::from_millis(2500))
///     .into();
///
/// let rejection = Rejection::find(&*error).unwrap();
/// assert_eq!(rejection.reason(), Reason::CircuitOpen);
/// assert_eq!(error.to_string(), "payments: circuit open, retry after 2.5s");
/// ```
#[derive(Clone, Debug)]
pub struct Rejection {
    reason: Reason,
    name: Name,
    retry_after: Option<Duration>,
    quota: Option<QuotaStatus>,
}

impl Rejection {
    /// Creates the rejection that the instance `name` gives for `reason`.
    #[must_use]
    pub fn new(reason: Reason, name: Name) -> Self {
        Self {
            reason,
            name,
            retry_after: None,
            quota: None,
        }
    }

    /// Says how long it takes at least until the same call can pass.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Adds the state of the rate limit that refused the call.
    #[must_use]
    pub fn with_quota(mut self, quota: QuotaStatus) -> Self {
        self.quota = Some(quota);
        self
    }

    /// Returns why the call was ended.
    #[must_use]
    pub fn reason(&self) -> Reason {
        self.reason
    }

    /// Returns the name of the instance that ended the call.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_str()
    }

    /// Returns how long it takes at least until the same call can pass, where that is known.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Returns the state of the rate limit that refused the call.
    #[must_use]
    pub fn quota(&self) -> Option<&QuotaStatus> {
        self.quota.as_ref()
    }

    /// Returns what a classifier makes of the rejection: the outcome of its
    /// [`reason`](Self::reason), with its [`retry_after`](Self::retry_after).
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        match self.reason.outcome() {
            Outcome::Failure(failure) => Outcome::Failure(failure.retry_after(self.retry_after)),
            outcome => outcome,
        }
    }

    /// Finds the rejection in `error` or in what caused it, however deep.
    #[must_use]
    pub fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        causes(error).find_map(|error| error.downcast_ref())
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.reason)?;
        if let Some(after) = self.retry_after {
            write!(f, ", retry after {after:?}")?;
        }
        Ok(())
    }
}

impl Error for Rejection {}

/// The state of a rate limit at one call: what the `RateLimit` headers say.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct QuotaStatus {
    /// The name of the policy.
    pub policy: Name,
    /// How much the policy allows in a window.
    pub limit: u64,
    /// How much is left now.
    pub remaining: u64,
    /// How long it takes until the limit is whole again.
    pub reset: Duration,
    /// The length of the policy's window.
    pub window: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BoxError, FailureKind};

    #[derive(Debug)]
    struct Wrapped(BoxError);

    impl fmt::Display for Wrapped {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("wrapped")
        }
    }

    impl Error for Wrapped {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    fn rejection(reason: Reason) -> Rejection {
        Rejection::new(reason, Name::new("api"))
    }

    #[test]
    fn is_found_below_other_errors() {
        let inner: BoxError = rejection(Reason::RateLimited).into();
        let error: BoxError = Wrapped(Wrapped(inner).into()).into();

        assert_eq!(
            Rejection::find(&*error).map(Rejection::reason),
            Some(Reason::RateLimited)
        );
    }

    #[test]
    fn is_not_found_where_there_is_none() {
        let error: BoxError = Wrapped("broken".into()).into();

        assert!(Rejection::find(&*error).is_none());
    }

    #[test]
    fn carries_its_hint_into_the_outcome() {
        let after = Duration::from_secs(3);
        let outcome = rejection(Reason::CircuitOpen)
            .with_retry_after(after)
            .outcome();

        let failure = outcome.as_failure().unwrap();
        assert_eq!(failure.kind, FailureKind::Rejected);
        assert_eq!(failure.retry_after, Some(after));
        assert!(!failure.retryable);
    }

    /// The table of the design, a line each: kind, votes, retried, HTTP, gRPC.
    #[test]
    fn every_reason_means_what_the_table_says() {
        use FailureKind::{Client, Rejected, Server, Timeout};
        let table = [
            (Reason::CircuitOpen, Rejected, false, false, 503, 14),
            (Reason::NotReady, Rejected, false, false, 503, 14),
            (Reason::BulkheadFull, Rejected, false, false, 503, 8),
            (Reason::QueueTimeout, Rejected, false, false, 503, 8),
            (Reason::Overloaded, Rejected, false, false, 503, 8),
            (Reason::RateLimited, Rejected, false, false, 429, 8),
            (Reason::DeadlineExceeded, Rejected, false, false, 504, 4),
            (Reason::TimedOut, Timeout, true, true, 504, 4),
            (Reason::InjectedFault(Server), Server, true, true, 503, 14),
            (Reason::InjectedFault(Client), Client, true, false, 503, 14),
            (Reason::KeyMissing, Client, false, false, 400, 3),
            (Reason::KeyInvalid, Client, false, false, 400, 3),
            (Reason::KeyInUse, Client, false, true, 409, 10),
            (Reason::KeyReused, Client, false, false, 422, 9),
        ];

        for (reason, kind, votes, retryable, http, grpc) in table {
            let outcome = rejection(reason).outcome();
            let failure = outcome.as_failure().unwrap();
            assert_eq!(
                (failure.kind, reason.votes(), failure.retryable),
                (kind, votes, retryable),
                "{reason:?}"
            );
            assert_eq!(
                (reason.http_status(), reason.grpc_code()),
                (http, grpc),
                "{reason:?}"
            );
        }
    }
}
