//! Ends calls that take too long, and tells all who work for a call how long its caller waits.
//!
//! A service that hangs does not fail: it keeps each caller waiting, with the connection, the memory
//! and the place in a bulkhead that the caller holds, until all of them wait. [`TimeoutLayer`] ends
//! a call after a time, drops it at once, and returns an error that breakers and retries understand.
//! The time is fixed, or said by the request, or *adaptive*: about as long as the calls of late took.
//!
//! A timeout knows nothing of the others in a call. A caller that waits for one second, of a service
//! that gives the next one five, is gone for four seconds in which work is done for nobody; in an
//! overload that is what keeps a service from coming back. [`DeadlineLayer`] takes over, where a call
//! comes in, when its caller stops waiting, and serves it no longer than that.
//! [`PropagateDeadlineLayer`] tells the next service.
//!
//! Use a timeout around each call to something on another host, below everything that should hear of
//! a late answer; a deadline around whatever serves calls. Neither is of use around work that does
//! not wait, such as a long computation: nothing can be dropped while it runs.
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`: then the counts are right, an adaptive
//! timeout learns from good answers alone, and deadlines are read and written in the headers
//! `x-deadline-ms` and `grpc-timeout`.
//!
//! ```
//! use std::time::Duration;
//!
//! use watertight_http::{HttpExt, RespondExt};
//! use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer, TimeoutLayer};
//!
//! // Where calls come in: at most 10 s, and less if their callers say so.
//! let inbound = DeadlineLayer::builder("inbound", Duration::from_secs(10)).http().build().respond();
//!
//! // Where they go out.
//! let limit = TimeoutLayer::adaptive("payments").http().build();
//! let tell = PropagateDeadlineLayer::builder("payments").http().build();
//! # let _ = (inbound, limit, tell);
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
//! [set](Adaptive). It follows a service that becomes slower or faster within 5,000 calls, two
//! seconds, or some eight times what calls take, whichever is longest.
//!
//! A call that is cut off is a sample whose duration nobody knows. To leave it away would drop just
//! the slow ones, and the timeout would sink; to take it for as long as the timeout would have a
//! service that hangs push the timeout up. So one call in ten that reaches the timeout
//! [explores](Adaptive::explore), and no more than one in a hundred of all: it goes on, for as long
//! as the longest timeout. Calls that were cut off count as what those have met that took longer as
//! well. Where they hang, they count not at all; where nobody knows, they leave the percentile as it
//! is. So calls that hang hardly make the timeout longer ([`explore`](Adaptive::explore) has
//! figures), and an outage leaves it alone. No more than eight calls at a time (of each key, where
//! there are keys) have the longest timeout to explore; while they wait, others that explore have
//! sixteen times the limit.
//!
//! A call that its caller gives up, as a hedge does with the slower one, or that its deadline ends,
//! took at least that long: it counts as one of those that are known to have taken longer, and where
//! none is known, as what it took. So the timeout stays above the delay of a hedge around it, and a
//! caller who waits is waited for where others do not; it sinks slowly where few wait. At most 64 of
//! them count without an answer in between. A call that explores and is given up hangs only if it has
//! been waited for eight times as long as the limit, and nobody who had more patience was answered.
//! Where *all* callers go away before that, calls that hang look like slow ones, and the timeout
//! rises to about where they go away. What failed says nothing of how long calls take.
//!
//! Until [`warmup`](Adaptive::warmup) calls were answered, the limit is
//! [`initial`](Adaptive::initial). With [`key`](TimeoutBuilder::key) there is a limit for each key,
//! in bounded memory.
//!
//! # Deadlines
//!
//! A deadline is a moment, and the clocks of two hosts do not agree: what is sent is how long
//! the caller still waits. Inside a service it is the
//! [`deadline`](watertight_core::Context::deadline) of the [`Context`](watertight_core::Context),
//! which every layer below goes by: a timeout ends with it, a queue refuses what cannot be served by
//! then, a retry does not wait beyond it. [`Context::share`](watertight_core::Context::share) gives
//! each step of a chain its part.
//!
//! 300 ms come in here, and 5 of them are kept for the way back:
//!
//! ```
//! use std::time::Duration;
//!
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer};
//!
//! struct Request {
//!     time_left: Option<Duration>,
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let inbound = DeadlineLayer::builder("orders", Duration::from_secs(10))
//!     .read(|request: &Request| request.time_left)
//!     .build();
//! let outbound = PropagateDeadlineLayer::builder("payments")
//!     .write(|request: &mut Request, left| request.time_left = Some(left))
//!     .build();
//! let mut orders = ServiceBuilder::new()
//!     .layer(inbound)
//!     .layer(outbound)
//!     .service_fn(|request: Request| async move { Ok::<_, BoxError>(request.time_left) });
//!
//! let time_left = Some(Duration::from_millis(300));
//! let told = orders.ready().await?.call(Request { time_left }).await?;
//! assert_eq!(told, Some(Duration::from_millis(295)));
//! # Ok(())
//! # }
//! ```
//!
//! What was passed on ends before the deadline does, and the next service may say so first. That is
//! the caller's deadline all the same, for which no breaker opens.
//!
//! No deadline says how soon a timeout around the call fires:
//! [`at_most`](PropagateDeadlineConfig::at_most) tells the next service of a fixed one. A call
//! without time left is refused before anybody works for it; where it comes in, no more than
//! [`max_refused`](DeadlineConfig::max_refused) of such calls are, so that a client that always says
//! zero, for whatever bug, gets on. Both pages say more: [`DeadlineLayer`], [`PropagateDeadlineLayer`].
//!
//! # The phases of a call
//!
//! Each phase of a call over HTTP has a timeout of its own. What connects is a service of the `Uri`,
//! and this is a layer for it as for others; a client of hyper-util wants its futures to be `Unpin`,
//! hence the `map_future`:
//!
//! ```
//! use std::time::Duration;
//!
//! use bytes::Bytes;
//! use http_body_util::Full;
//! use hyper_util::client::legacy::Client;
//! use hyper_util::client::legacy::connect::HttpConnector;
//! use hyper_util::rt::TokioExecutor;
//! use tower::ServiceBuilder;
//! use watertight_http::{RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer, UploadBody};
//! use watertight_timeout::TimeoutLayer;
//!
//! let connector = ServiceBuilder::new()
//!     .map_future(Box::pin)
//!     .layer(TimeoutLayer::new("payments-connect", Duration::from_secs(3)))
//!     .service(HttpConnector::new());
//! let client: Client<_, UploadBody<Full<Bytes>>> =
//!     Client::builder(TokioExecutor::new()).build(connector);
//!
//! let request = TimeoutLayer::builder("payments")
//!     .limit(Duration::from_secs(60))
//!     .ready(Duration::from_secs(5))
//!     .build();
//! let payments = ServiceBuilder::new()
//!     .layer(request)
//!     .layer(RequestBodyTimeoutLayer::new("payments-write", Duration::from_secs(15)))
//!     .layer(ResponseBodyTimeoutLayer::new("payments-read", Duration::from_secs(30)))
//!     .service(client);
//! # let _ = payments;
//! ```
//!
//! | phase | is limited by |
//! | --- | --- |
//! | a place in the pool | [`ready`](TimeoutConfig::ready), where what is full is not ready, such as tower's `ConcurrencyLimit`; a bulkhead queues in the call, and has a `max_wait`. hyper's client is always ready |
//! | connecting | a timeout around the connector |
//! | the request body, between frames and as a whole | `RequestBodyTimeoutLayer` of `watertight-http` |
//! | the head of the response, with all of the above but the pool | the timeout around the client |
//! | the response body, between frames and as a whole | `ResponseBodyTimeoutLayer` of `watertight-http` |
//!
//! # Order
//!
//! A timeout goes inside a breaker and a retry: there it is the failure of one attempt. A second one
//! outside of the retry limits all attempts together, and drops those in flight with it. Inside a
//! bulkhead, so that the time in its queue is not counted twice. [`DeadlineLayer`] is outermost in a
//! server, [`PropagateDeadlineLayer`] next to the client.
//!
//! # Readiness
//!
//! [`Timeout`] is ready when the inner service is. One that has waited for longer than
//! [`ready`](TimeoutConfig::ready) says, since it was first asked, is ready as well, and that
//! instance refuses its next call, even if the inner service has become ready since. The deadline of
//! the `Context` is not looked at before there is a call. [`Deadline`] and [`PropagateDeadline`] are
//! ready when the inner service is.
//!
//! # Cancellation
//!
//! A call whose time is up is dropped before the error is returned. A call that its caller drops is
//! counted `cancelled`, and is no timeout; one that is dropped after its deadline was cut off. A
//! panic of the inner service is one failure, and goes on to the caller. A call that never rests, and
//! uses up tokio's cooperative budget at each poll, is ended as others are.
//!
//! # Errors
//!
//! A [`Rejection`](watertight_core::Rejection) for
//! [`TimedOut`](watertight_core::Reason::TimedOut), which votes in breakers and is retried;
//! [`DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded) and
//! [`NotReady`](watertight_core::Reason::NotReady), which do not and are not. Errors of the inner
//! service pass untouched, but for those that say over HTTP and gRPC that the time is over which
//! [`PropagateDeadline`] has passed on: they are `DeadlineExceeded` too, and so is a 504.
//!
//! # Sharing
//!
//! The limit, what it is learnt from, and the counts belong to the layer: all services that one
//! [`TimeoutLayer`] or its clones make share them. So do those of a [`DeadlineLayer`] the counts and
//! the share that is refused, and those of a [`PropagateDeadlineLayer`] the counts.
//!
//! # Cost
//!
//! A call that is answered at once with a fixed limit reads no clock and takes no handle of the
//! runtime, which is one reference count for all its threads: so two threads do twice as much as
//! one. A call that has to wait arms one timer of tokio, and with it takes that handle twice and the
//! lock of its timers twice. No call allocates, but the wait for readiness where it is limited. An
//! adaptive limit reads the clock when a call begins and when it ends, above some thousand calls a
//! second only for one in eight. A call that is given up costs it some microseconds.
//!
//! [`Deadline`] reads the clock once, [`PropagateDeadline`] where there is a deadline. Neither
//! allocates, but for [hops](DeadlineConfig::hop) and what a header takes.
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
//! | [`within`](DeadlineConfig::within), [`max_refused`](DeadlineConfig::max_refused) | required, 0.9 |
//! | [`reserve`](PropagateDeadlineConfig::reserve), [`least`](PropagateDeadlineConfig::least) where calls go out | 5 ms, 0 |
//!
//! The reasons are at the constants of [`TimeoutConfig`], [`Adaptive`], [`DeadlineConfig`] and
//! [`PropagateDeadlineConfig`].
//!
//! # Telemetry
//!
//! Metrics: `watertight_timeout_seconds` (the limit in force; of many keys the longest), and with
//! `layer = "timeout"` `watertight_calls_total`, where a call that was ended is `rejected`,
//! `watertight_rejections_total`, `watertight_in_flight`, with keys `watertight_keys` and
//! `watertight_keys_evicted_total`, and with [`durations`](TimeoutConfig::durations)
//! `watertight_call_duration_seconds`. With `layer = "deadline"` and `"propagate_deadline"`
//! `watertight_calls_total` and `watertight_rejections_total`. More is in [`TimeoutSnapshot`],
//! [`DeadlineSnapshot`] and [`PropagateDeadlineSnapshot`].
//!
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
mod heard;
mod lasting;
mod layer;
mod learning;
mod limit;
mod machine;
mod plan;
mod recent;
mod request;
mod row;
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
