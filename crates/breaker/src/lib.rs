//! Stops calling a service that fails.
//!
//! A backend that is down answers slowly or not at all. Each call to it holds a connection, a
//! task and a caller for as long as a timeout, and all of them together take the caller down as
//! well. [`BreakerLayer`] notices when too many calls fail and refuses further ones at once, with
//! an error that says when to ask again. After a while it lets a few probes pass, and lets all
//! calls pass again when those succeed.
//!
//! Use it around a call to something that can be down: another service, a database. It is no use
//! around what fails for the caller's own reasons, such as a validation, and it does not limit how
//! many calls are in flight: that is a bulkhead.
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`, or a 503 counts as a success:
//!
//! ```
//! use watertight_breaker::BreakerLayer;
//! use watertight_http::HttpExt;
//!
//! let layer = BreakerLayer::builder("payments").http().build();
//! # let _ = layer;
//! ```
//!
//! Here an error is a failure, which is the default:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_breaker::{BreakerLayer, State};
//! use watertight_core::{Reason, Rejection};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let breaker = BreakerLayer::builder("payments")
//!     .consecutive_failures(3)
//!     .open_for(Duration::from_secs(30))
//!     .build();
//! let handle = breaker.handle();
//! let mut payments = ServiceBuilder::new()
//!     .layer(breaker)
//!     .service_fn(|_: &'static str| async { Err::<(), BoxError>("connection reset".into()) });
//!
//! for _ in 0..3 {
//!     payments.ready().await?.call("pay").await.unwrap_err();
//! }
//! assert_eq!(handle.state(), State::Open);
//!
//! // The fourth call does not reach the service.
//! let error = payments.ready().await?.call("pay").await.unwrap_err();
//! let rejection = Rejection::find(&*error).unwrap();
//! assert_eq!(rejection.reason(), Reason::CircuitOpen);
//! assert_eq!(rejection.retry_after(), Some(Duration::from_secs(30)));
//! # Ok(())
//! # }
//! ```
//!
//! # States
//!
//! | state | calls | leaves it |
//! | --- | --- | --- |
//! | [`Closed`](State::Closed) | pass, and are counted | to `Open`, when a rate or a row of failures trips |
//! | [`Open`](State::Open) | are refused | to `HalfOpen`, with the first call after the open time |
//! | [`HalfOpen`](State::HalfOpen) | a few pass as probes | to `Closed` or `Recovering` when they succeed, to `Open` when one fails or they take too long |
//! | [`Recovering`](State::Recovering) | a growing share passes, and is counted | to `Closed` at the top, to `Open` when a rate trips |
//! | [`ForcedOpen`](State::ForcedOpen), [`ForcedClosed`](State::ForcedClosed) | are refused, or pass and are counted | by hand |
//!
//! The failure rate is the sum of the weights of the failures over the number of calls that count,
//! and at most 1. A slow call is one that takes longer than [`slow_call`](BreakerConfig::slow_call).
//! A rate equal to its threshold trips. Ignored outcomes, the rejections of layers below and
//! cancelled calls do not vote. An answer that says "too many" (429) weighs a quarter in a rate,
//! neither extends nor ends a row of failures, and fails a probe.
//!
//! Each change of state starts a new generation, and a result votes only in the generation that
//! its call was admitted in: a late answer never closes, opens or fills the place of a probe.
//!
//! # Order
//!
//! Inside retry, so that each attempt is counted and a retry against an open circuit costs
//! nothing. Outside the timeout, so that a timeout counts as a failure. With a timeout outside
//! instead, configure [`slow_call`](BreakerConfig::slow_call) below it: a call that is dropped
//! later than that counts as slow, and a dead backend still opens the circuit.
//!
//! # Readiness
//!
//! [`Breaker`] is ready when the inner service is. One without keys that would refuse now is ready
//! at once, does not ask the inner service, and that instance refuses its next call even if the
//! state has changed since. An error of the inner `poll_ready` is returned as it is, and counts as
//! one failure to connect, but with keys: there nobody knows yet whose failure it is.
//!
//! # Cancellation
//!
//! A call that is dropped does not vote and is counted `cancelled`, unless it was slow by then:
//! then it is one slow call. A dropped probe gives its place back, and the next caller probes. A
//! panic of the inner service is one failure, and goes on to the caller.
//!
//! # Errors
//!
//! A refused call fails with a [`Rejection`](watertight_core::Rejection) for
//! [`CircuitOpen`](watertight_core::Reason::CircuitOpen), whose `retry_after` is the time left in
//! `Open` and none in the other states. Errors of the inner service pass untouched.
//!
//! # Sharing
//!
//! The circuit belongs to the layer: all services that one [`BreakerLayer`] or its clones make,
//! and all clones of those services, are behind one circuit. With [`key`](BreakerBuilder::key)
//! there is one for each key, in bounded memory.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`failure_rate`](BreakerConfig::failure_rate) | 0.5 |
//! | [`min_calls`](BreakerConfig::min_calls) | 20 |
//! | [`window`](BreakerConfig::window) | the last 100 calls |
//! | [`slow_call`](BreakerConfig::slow_call), [`slow_rate`](BreakerConfig::slow_rate) | off, 1.0 |
//! | [`consecutive_failures`](BreakerConfig::consecutive_failures) | off |
//! | [`open_for`](BreakerConfig::open_for) | 60 s |
//! | [`open_backoff`](BreakerConfig::open_backoff), [`open_jitter`](BreakerConfig::open_jitter) | off, 0 |
//! | [`half_open_calls`](BreakerConfig::half_open_calls), [`close_after`](BreakerConfig::close_after) | 3, 3 |
//! | [`half_open_timeout`](BreakerConfig::half_open_timeout) | as `open_for` |
//! | [`recovery`](BreakerConfig::recovery) | immediate |
//! | [`obey_retry_after`](BreakerConfig::obey_retry_after), [`durations`](BreakerConfig::durations) | false, false |
//! | [`max_keys`](BreakerConfig::max_keys), [`key_idle`](BreakerConfig::key_idle) | 10,000, 10 min |
//!
//! The reasons are at the constants of [`BreakerConfig`].
//!
//! # Telemetry
//!
//! Metrics, with `layer = "breaker"`: `watertight_calls_total`, `watertight_rejections_total`,
//! `watertight_in_flight`, `watertight_breaker_state`, `watertight_breaker_transitions_total`,
//! with keys `watertight_keys` and `watertight_keys_evicted_total`, and where calls are timed
//! `watertight_call_duration_seconds`. Each change of state is an event with its cause and the
//! figures that led to it; the causes are `failure_rate`, `slow_rate`, `consecutive_failures`,
//! `retry_after`, `open_time_over`, `probes_failed`, `probes_succeeded`, `half_open_timeout`,
//! `ramp_done` and `manual`.

mod admit;
mod call;
mod circuit;
mod config;
mod counts;
mod future;
mod handle;
mod layer;
mod locked;
#[cfg(all(test, watertight_loom))]
mod loom;
#[cfg(all(test, not(watertight_loom)))]
mod model;
mod open_time;
mod permit;
mod phase;
mod probes;
mod recovery;
mod rules;
mod service;
mod shared;
mod snapshot;
mod state;
mod sync;
mod transition;
mod trip;
mod verdict;
mod vote;
mod way;
mod word;

pub use call::BreakerCall;
pub use config::{BreakerConfig, OpenBackoff};
pub use future::ResponseFuture;
pub use handle::BreakerHandle;
pub use layer::{BreakerBuilder, BreakerLayer};
pub use recovery::{Curve, Ramp, Recovery};
pub use service::Breaker;
pub use snapshot::BreakerSnapshot;
pub use state::State;
