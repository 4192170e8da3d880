use std::fmt;

use crate::{Failure, FailureKind, Outcome};

/// Why a layer ended a call itself.
///
/// What each reason means to everybody else is written here and nowhere else:
///
/// | reason | [`outcome`](Self::outcome) | [votes](Self::votes) | retryable | [HTTP](Self::http_status) | [gRPC](Self::grpc_code) |
/// | --- | --- | --- | --- | --- | --- |
/// | `CircuitOpen`, `NotReady` | `Failure(Rejected)` | no | no | 503 | UNAVAILABLE |
/// | `BulkheadFull`, `QueueTimeout`, `Overloaded` | `Failure(Rejected)` | no | no | 503 | RESOURCE_EXHAUSTED |
/// | `RateLimited` | `Failure(Rejected)` | no | no | 429 | RESOURCE_EXHAUSTED |
/// | `DeadlineExceeded` | `Failure(Rejected)` | no | no | 504 | DEADLINE_EXCEEDED |
/// | `TimedOut` | `Failure(Timeout)`, weight 1 | yes | yes | 504 | DEADLINE_EXCEEDED |
/// | `InjectedFault(kind)` | `Failure(kind)` | yes | by kind | 503 | UNAVAILABLE |
/// | `KeyMissing`, `KeyInvalid` | `Failure(Client)` | no | no | 400 | INVALID_ARGUMENT |
/// | `KeyInUse` | `Failure(Client)` | no | yes | 409 | ABORTED |
/// | `KeyReused` | `Failure(Client)` | no | no | 422 | FAILED_PRECONDITION |
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// A circuit breaker is open.
    CircuitOpen,
    /// The inner service was not ready in time, or a dependency is known to be down.
    NotReady,
    /// A bulkhead has neither a free permit nor a place in its queue.
    BulkheadFull,
    /// A call waited in a queue for as long as it may.
    QueueTimeout,
    /// Load is being shed.
    Overloaded,
    /// A rate limit is used up.
    RateLimited,
    /// The caller's deadline has passed, or cannot be met.
    DeadlineExceeded,
    /// The service was called and did not answer in time.
    TimedOut,
    /// A fault programme made the call fail, as this kind of failure.
    InjectedFault(FailureKind),
    /// The call does not say what it is to be told apart by: by whom it is made, for a rate limit, or
    /// its idempotency key.
    KeyMissing,
    /// An idempotency key is malformed.
    KeyInvalid,
    /// A call with the same idempotency key is in progress.
    KeyInUse,
    /// The idempotency key was used before with another request.
    KeyReused,
}

impl Reason {
    /// Returns the reason's name in events and metrics, such as `circuit_open`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CircuitOpen => "circuit_open",
            Self::NotReady => "not_ready",
            Self::BulkheadFull => "bulkhead_full",
            Self::QueueTimeout => "queue_timeout",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate_limited",
            Self::DeadlineExceeded => "deadline_exceeded",
            Self::TimedOut => "timed_out",
            Self::InjectedFault(_) => "injected_fault",
            Self::KeyMissing => "key_missing",
            Self::KeyInvalid => "key_invalid",
            Self::KeyInUse => "key_in_use",
            Self::KeyReused => "key_reused",
        }
    }

    /// Returns what a classifier makes of a call that was ended for this reason.
    #[must_use]
    pub const fn outcome(self) -> Outcome {
        Outcome::Failure(match self {
            Self::CircuitOpen
            | Self::NotReady
            | Self::BulkheadFull
            | Self::QueueTimeout
            | Self::Overloaded
            | Self::RateLimited
            | Self::DeadlineExceeded => Failure::new(FailureKind::Rejected),
            Self::TimedOut => Failure::new(FailureKind::Timeout),
            Self::InjectedFault(kind) => Failure::new(kind),
            Self::KeyMissing | Self::KeyInvalid | Self::KeyReused => {
                Failure::new(FailureKind::Client)
            }
            Self::KeyInUse => Failure::new(FailureKind::Client).retryable(true),
        })
    }

    /// Returns whether the call says anything about the health of what lies below, and so votes
    /// in breakers, adaptive limits, throttles and budgets.
    #[must_use]
    pub const fn votes(self) -> bool {
        match self {
            Self::TimedOut => true,
            Self::InjectedFault(kind) => !matches!(kind, FailureKind::Rejected),
            _ => false,
        }
    }

    /// Returns the status code of an HTTP answer.
    #[must_use]
    pub const fn http_status(self) -> u16 {
        match self {
            Self::CircuitOpen
            | Self::NotReady
            | Self::BulkheadFull
            | Self::QueueTimeout
            | Self::Overloaded
            | Self::InjectedFault(_) => 503,
            Self::RateLimited => 429,
            Self::DeadlineExceeded | Self::TimedOut => 504,
            Self::KeyMissing | Self::KeyInvalid => 400,
            Self::KeyInUse => 409,
            Self::KeyReused => 422,
        }
    }

    /// Returns the `grpc-status` of a gRPC answer.
    #[must_use]
    pub const fn grpc_code(self) -> i32 {
        const INVALID_ARGUMENT: i32 = 3;
        const DEADLINE_EXCEEDED: i32 = 4;
        const RESOURCE_EXHAUSTED: i32 = 8;
        const FAILED_PRECONDITION: i32 = 9;
        const ABORTED: i32 = 10;
        const UNAVAILABLE: i32 = 14;

        match self {
            Self::CircuitOpen | Self::NotReady | Self::InjectedFault(_) => UNAVAILABLE,
            Self::BulkheadFull | Self::QueueTimeout | Self::Overloaded | Self::RateLimited => {
                RESOURCE_EXHAUSTED
            }
            Self::DeadlineExceeded | Self::TimedOut => DEADLINE_EXCEEDED,
            Self::KeyMissing | Self::KeyInvalid => INVALID_ARGUMENT,
            Self::KeyInUse => ABORTED,
            Self::KeyReused => FAILED_PRECONDITION,
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::CircuitOpen => "circuit open",
            Self::NotReady => "not ready",
            Self::BulkheadFull => "bulkhead full",
            Self::QueueTimeout => "timed out in the queue",
            Self::Overloaded => "overloaded",
            Self::RateLimited => "rate limited",
            Self::DeadlineExceeded => "deadline exceeded",
            Self::TimedOut => "timed out",
            Self::InjectedFault(_) => "injected fault",
            Self::KeyMissing => "key missing",
            Self::KeyInvalid => "idempotency key invalid",
            Self::KeyInUse => "idempotency key in use",
            Self::KeyReused => "idempotency key reused with another request",
        })
    }
}
