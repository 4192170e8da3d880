//! Ends calls that take too long.
//!
//! A service that hangs does not fail: it keeps each caller waiting, with the connection, the memory
//! and the place in a bulkhead that the caller holds, until all of them wait. [`TimeoutLayer`] ends
//! a call after a time, drops it at once, and returns an error that breakers and retries understand.
//!
//! Use it around each call to something on another host, below everything that should hear of a
//! late answer. The time is fixed, or said by the request, or *adaptive*: about as long as the calls
//! of late took. It is no use around work that does not wait, such as a long computation: nothing
//! can be dropped while it runs. Between the frames of a body and for a whole body, http has
//! timeouts of its own: this one ends with the head of the answer.
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`, so that the counts are right and an
//! adaptive timeout learns from good answers alone:
//!
//! ```
//! use watertight_http::HttpExt;
//! use watertight_timeout::TimeoutLayer;
//!
//! let layer = TimeoutLayer::adaptive("payments").http().build();
//! # let _ = layer;
//! ```
//!
//! A service that hangs:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_core::{Reason, Rejection};
//! use watertight_timeout::TimeoutLayer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let mut payments = ServiceBuilder::new()
//!     .layer(TimeoutLayer::new("payments", Duration::from_secs(5)))
//!     .service_fn(|_: &'static str| std::future::pending::<Result<(), BoxError>>());
//!
//! let error = payments.ready().await?.call("pay").await.unwrap_err();
//! assert_eq!(Rejection::find(&*error).unwrap().reason(), Reason::TimedOut);
//! # Ok(())
//! # }
//! ```
//!
//! # When a call is ended
//!
//! At the first of these:
//!
//! - the [limit](TimeLimit) of the layer, or what [`per_request`](TimeoutBuilder::per_request) says
//!   instead. Its time runs from the first poll that brings no answer: a call that is answered at
//!   once makes no timer, and one that nobody polls is not waited for. Timers tick in milliseconds.
//! - the deadline of the [`Context`](watertight_core::Context), less the
//!   [`reserve`](TimeoutConfig::reserve). A call that is later than that when it comes is refused.
//!
//! An answer that is ready in the same poll as the timer is the answer.
//!
//! [`ready`](TimeoutConfig::ready) limits the wait before the call: for the inner service, or a
//! place in a pool. When that is for too long, the next call is refused.
//!
//! # An adaptive limit
//!
//! It is the 95th percentile of what calls take, times 1.5, between 10 ms and 60 s; longer where
//! that would cut off more than 1 % of the calls that would have ended. All that is
//! [set](Adaptive). It follows a service that becomes slower or faster within 5,000 calls or two
//! seconds, whichever is longer.
//!
//! A call that is cut off is a sample whose duration nobody knows. To leave it away would drop just
//! the slow ones, and the timeout would sink; to take it for as long as the timeout would have a
//! service that hangs push the timeout up. So one call in a hundred
//! [explores](Adaptive::explore): it may take as long as the longest timeout. Calls that were cut
//! off count as what those have met that took longer as well. Where they hang, they count not at
//! all; where nobody knows, they leave the timeout as it is. So calls that hang do not make it
//! longer, however many they are, and an outage leaves it alone.
//!
//! What a caller gave up on, what failed, and what the deadline ended says nothing of how long
//! calls take. Until [`warmup`](Adaptive::warmup) calls were answered, the limit is
//! [`initial`](Adaptive::initial). With [`key`](TimeoutBuilder::key) there is a limit for each key,
//! in bounded memory.
//!
//! # Connectors
//!
//! What connects is a service of the `Uri`, and this is a layer for it as for others. A client of
//! hyper-util wants futures of it that are `Unpin`:
//! `ServiceBuilder::new().map_future(Box::pin).layer(timeout).service(connector)`.
//!
//! # Order
//!
//! Inside a breaker and a retry: there a timeout is the failure of one attempt. A second one outside
//! of the retry limits all attempts together. Inside a bulkhead, so that the time in its queue is
//! not counted twice.
//!
//! # Readiness
//!
//! [`Timeout`] is ready when the inner service is. One that has waited for longer than
//! [`ready`](TimeoutConfig::ready) says is ready as well, and that instance refuses its next call,
//! even if the inner service has become ready since. The deadline of the `Context` is not looked at
//! before there is a call.
//!
//! # Cancellation
//!
//! A call whose time is up is dropped before the error is returned. A call that its caller drops is
//! counted `cancelled`, and is no timeout. A panic of the inner service is one failure, and goes on
//! to the caller.
//!
//! # Errors
//!
//! A [`Rejection`](watertight_core::Rejection) for
//! [`TimedOut`](watertight_core::Reason::TimedOut), which votes in breakers and is retried;
//! [`DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded) and
//! [`NotReady`](watertight_core::Reason::NotReady), which do not and are not. Errors of the inner
//! service pass untouched.
//!
//! # Sharing
//!
//! The limit, what it is learnt from, and the counts belong to the layer: all services that one
//! [`TimeoutLayer`] or its clones make share them.
//!
//! # Cost
//!
//! A call that is answered at once with a fixed limit reads no clock and takes no handle of the
//! runtime, which is one reference count for all its threads: so two threads do twice as much as
//! one. A call that has to wait arms one timer of tokio, and with it takes that handle twice and the
//! lock of its timers twice. No call allocates, but the wait for readiness where it is limited. An
//! adaptive limit reads the clock when a call begins and when it ends, above some thousand calls a
//! second only for one in eight.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`limit`](TimeoutConfig::limit) | none |
//! | [`ready`](TimeoutConfig::ready), [`reserve`](TimeoutConfig::reserve) | none, 0 |
//! | [`durations`](TimeoutConfig::durations) | false |
//! | [`percentile`](Adaptive::percentile), [`multiplier`](Adaptive::multiplier) | 0.95, 1.5 |
//! | [`min`](Adaptive::min), [`max`](Adaptive::max) | 10 ms, 60 s |
//! | [`initial`](Adaptive::initial), [`warmup`](Adaptive::warmup) | as `max`, 100 calls |
//! | [`max_cut`](Adaptive::max_cut), [`explore`](Adaptive::explore) | 0.01, 0.01 |
//! | [`max_keys`](TimeoutConfig::max_keys), [`key_idle`](TimeoutConfig::key_idle) | 1,000, 10 min |
//!
//! The reasons are at the constants of [`TimeoutConfig`] and [`Adaptive`].
//!
//! # Telemetry
//!
//! Metrics: `watertight_timeout_seconds` (the limit in force; of many keys the longest), and with
//! `layer = "timeout"` `watertight_calls_total`, where a call that was ended is `rejected`,
//! `watertight_rejections_total`, `watertight_in_flight`, with keys `watertight_keys` and
//! `watertight_keys_evicted_total`, and with [`durations`](TimeoutConfig::durations)
//! `watertight_call_duration_seconds`. More is in [`TimeoutSnapshot`].
//! In [`Mode::Shadow`](watertight_core::Mode::Shadow) a call whose time is up goes on, and teaches
//! nothing that it would not have taught if it had been ended.

mod call;
mod config;
mod control;
mod counts;
mod deadline;
mod explorers;
mod future;
mod handle;
mod layer;
mod learning;
mod limit;
mod machine;
mod plan;
mod recent;
mod request;
mod row;
mod samples;
mod service;
mod shared;
#[cfg(test)]
mod simulation;
mod snapshot;
mod wait;
mod way;

pub use config::TimeoutConfig;
pub use deadline::{
    Deadline, DeadlineBuilder, DeadlineCall, DeadlineConfig, DeadlineFuture, DeadlineHandle,
    DeadlineLayer, DeadlineSnapshot, PropagateDeadline, PropagateDeadlineBuilder,
    PropagateDeadlineConfig, PropagateDeadlineFuture, PropagateDeadlineHandle,
    PropagateDeadlineLayer, PropagateDeadlineSnapshot,
};
pub use future::ResponseFuture;
pub use handle::TimeoutHandle;
pub use layer::{Fixed, FromConfig, Learnt, MayBeFixed, MayLearn, TimeoutBuilder, TimeoutLayer};
pub use limit::{Adaptive, TimeLimit};
pub use request::{AsConfigured, TimeoutFn, TimeoutOf};
pub use service::Timeout;
pub use snapshot::TimeoutSnapshot;
