//! Calls a service again when it fails, and never makes a bad day worse by it.
//!
//! Many failures pass: a connection that was reset, a leader that has just changed, a server that
//! restarts. [`RetryLayer`] makes such a call again, after a while. But a service in trouble gets all
//! its calls again, when it can bear them least, and that keeps it in trouble. So a retry is made
//! only if all of these allow it: what the answer means, the number of attempts, the time that the
//! caller has, what is known of the request, and a [`Budget`](watertight_core::Budget) that bounds
//! the retries of all calls together to a share of the calls.
//!
//! Use it around a call to something that fails now and then. It is no use against a service that
//! is down for longer than callers wait (that is a breaker, inside), nor against slow answers
//! (that is a hedge).
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`: then it is known which answers are
//! failures, which requests may be sent twice, and how. Elsewhere, say what may be sent twice:
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//!
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_core::Always;
//! use watertight_retry::RetryLayer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let calls = AtomicU32::new(0);
//! let retry = RetryLayer::builder("stock").repeat(Always).build();
//! let handle = retry.handle();
//! let mut stock = ServiceBuilder::new()
//!     .layer(retry)
//!     .service_fn(|item: &'static str| {
//!         let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
//!         async move {
//!             if is_first {
//!                 return Err(BoxError::from("connection reset"));
//!             }
//!             Ok(format!("12 {item}"))
//!         }
//!     });
//!
//! assert_eq!(stock.ready().await?.call("apples").await?, "12 apples");
//! assert_eq!(handle.snapshot().retries, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # When a call is made again
//!
//! These are asked in order, and the first that says no gives the reason, which is counted:
//!
//! | reason | says no |
//! | --- | --- |
//! | `not_retryable` | a failure that will not pass, as the classifier sees it; a [`Rejection`](watertight_core::Rejection) of a layer below, but for those that its [`Reason`](watertight_core::Reason) says are retryable, as a timeout is |
//! | `predicate` | [`retry_if`](RetryBuilder::retry_if) |
//! | `marked` | a retry layer below has tried already |
//! | `upstream_attempt` | the request came in as somebody's retry, who will try again: [`amplification_guard`](RetryConfig::amplification_guard) |
//! | `attempts` | all [`max_attempts`](RetryConfig::max_attempts) have been made |
//! | `hint` | the service asks to be left alone for longer than [`RetryAfter`] honours |
//! | `elapsed` | the next attempt would begin after [`max_elapsed`](RetryConfig::max_elapsed) |
//! | `deadline` | the wait and an attempt as long as they are of late would not end by the deadline of the [`Context`](watertight_core::Context) |
//! | `not_repeatable` | the request may not be sent twice, or can not: [`Repeat`](watertight_core::Repeat) |
//! | `budget` | there is no budget |
//!
//! Then the last answer is returned as it came, be it a response or an error. In
//! [`Mode::Shadow`](watertight_core::Mode::Shadow) what passes all of them is not made either, and
//! counted as `shadow`.
//!
//! Three layers of three attempts each, in three services, would make 27 calls of one. Two things
//! keep it at three. A layer that gave up marks its answer, and those above leave it alone. And a
//! layer makes each further attempt with its number, in the `Context` and by `HttpRepeat` in a
//! header, and a service that is told of a number above zero does not retry for that call.
//!
//! # Waiting
//!
//! The [`Backoff`](watertight_core::Backoff) says for how long. A service that says when to come
//! again (`Retry-After`) is not asked earlier: its time is a floor, and jitter only adds to it. A
//! gRPC pushback is waited exactly, and the backoff begins anew after it.
//!
//! `.http()` and `.grpc()` read those two. A service that says it in a way of its own (a
//! `RateLimit-Reset`, a field in the body, a detail of its error) is understood by a classifier that
//! puts it into the failure: [`retry_after`](watertight_core::Failure::retry_after) for a floor,
//! [`pushback`](watertight_core::Failure::pushback) for an exact time,
//! [`retryable(false)`](watertight_core::Failure::retryable) for never:
//!
//! ```
//! use std::time::Duration;
//!
//! use watertight_core::{Always, Failure, FailureKind, Outcome};
//! use watertight_retry::RetryLayer;
//!
//! enum Answer {
//!     Stock(u32),
//!     Busy { seconds: u64 },
//! }
//!
//! let retry = RetryLayer::builder("stock")
//!     .classify_fn(|answer: Result<&Answer, _>| match answer {
//!         Ok(Answer::Stock(_)) => Outcome::Success,
//!         Ok(Answer::Busy { seconds }) => Failure::new(FailureKind::Overloaded)
//!             .retry_after(Some(Duration::from_secs(*seconds)))
//!             .into(),
//!         Err(_) => Outcome::failure(FailureKind::Other),
//!     })
//!     .repeat(Always)
//!     .build();
//! ```
//!
//! # Order
//!
//! Outside the breaker, so that each attempt is counted there and one against an open circuit costs
//! nothing and is not made again. Outside a timeout for each attempt, or set
//! [`attempt_timeout`](RetryConfig::attempt_timeout). Inside a deadline for the whole call.
//!
//! # Readiness
//!
//! [`Retry`] is ready when the inner service is. Each further attempt is made by a clone of the
//! inner service, which is driven to readiness for it. An error of readiness is returned as it is,
//! and not retried.
//!
//! # Cancellation
//!
//! A call that is dropped makes no further attempt, and gives back what it has paid for one that was
//! not sent. A panic of the inner service is one failure, and goes on to the caller.
//!
//! # Errors
//!
//! An attempt that takes longer than `attempt_timeout` fails with a
//! [`Rejection`](watertight_core::Rejection) for [`TimedOut`](watertight_core::Reason::TimedOut).
//! Errors of the inner service pass untouched.
//!
//! # Sharing
//!
//! Budget and counts belong to the layer: all services that one [`RetryLayer`] or its clones make
//! share them. A [`Budget`](watertight_core::Budget) can be shared by several layers, a hedge too.
//!
//! # Cost
//!
//! A call that succeeds at once allocates nothing and reads no clock, unless it has a deadline or
//! the layer a `max_elapsed`. What a further attempt needs is kept while one is possible: the
//! request as `Repeat` has it, and a clone of the inner service.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`max_attempts`](RetryConfig::max_attempts) | 3 |
//! | [`backoff`](RetryConfig::backoff) | exponential from 100 ms to 10 s, full jitter |
//! | [`budget`](RetryBuilder::budget) | 0.1, with 10 a second over 10 s in any case |
//! | [`retry_after`](RetryConfig::retry_after) | honoured up to 30 s |
//! | [`attempt_timeout`](RetryConfig::attempt_timeout), [`max_elapsed`](RetryConfig::max_elapsed) | off |
//! | [`amplification_guard`](RetryConfig::amplification_guard) | true |
//!
//! The reasons are at the constants of [`RetryConfig`], [`RetryBuilder`] and `Budget`.
//!
//! # Telemetry
//!
//! Metrics: `watertight_calls_total` and `watertight_in_flight` with `layer = "retry"`,
//! `watertight_retries_total`, `watertight_retry_budget_exhausted_total`,
//! `watertight_retries_given_up_total` by `reason` (those above, and `shadow`), and
//! `watertight_retry_letters_lost_total`. A budget that is used up is an event, once a second.

mod call;
mod config;
mod counts;
mod course;
mod future;
mod give_up;
mod handle;
mod layer;
mod letters;
mod machine;
mod plan;
mod refresh;
mod service;
mod shared;
mod snapshot;
mod typical;
mod way;

pub use config::{RetryAfter, RetryConfig};
pub use future::ResponseFuture;
pub use handle::RetryHandle;
pub use layer::{RetryBuilder, RetryLayer};
pub use letters::{Exhausted, Letters, Unwanted};
pub use service::Retry;
pub use snapshot::RetrySnapshot;
