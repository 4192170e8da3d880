//! Bounds how many calls are in flight, so that one slow service cannot take all there is.
//!
//! A service that becomes slow fills up whoever calls it: each call holds a task, memory and a
//! connection for as long as it lasts, until nothing is left for the calls that would be fast.
//! [`BulkheadLayer`] lets a bounded number of calls be in flight, and refuses further ones at once,
//! or lets a bounded number of them wait for a bounded time. The rest of the ship stays dry.
//!
//! Use it around each thing that can be slow, with a limit of its own, and around a whole server.
//! It is no use against a caller that sends too much in a second of what is answered at once: that
//! is a rate limit. Work that blocks its thread is for [`IsolateLayer`]. How large a
//! limit has to be, [`sizing`] says.
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`, or an adaptive limit takes a 503 for
//! a success:
//!
//! ```
//! use watertight_bulkhead::BulkheadLayer;
//! use watertight_http::HttpExt;
//!
//! let layer = BulkheadLayer::builder("payments", 50).http().build();
//! # let _ = layer;
//! ```
//!
//! Two calls may be in flight here, and one may wait:
//!
//! ```
//! use std::time::Duration;
//!
//! use tokio::time::sleep;
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_bulkhead::BulkheadLayer;
//! use watertight_core::{Reason, Rejection};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let layer = BulkheadLayer::builder("payments", 2)
//!     .max_queue(1)
//!     .max_wait(Duration::from_secs(1))
//!     .build();
//! let handle = layer.handle();
//! let mut payments = ServiceBuilder::new()
//!     .layer(layer)
//!     .service_fn(|_: &'static str| async {
//!         sleep(Duration::from_millis(100)).await;
//!         Ok::<_, BoxError>("paid")
//!     });
//!
//! let first = payments.ready().await?.call("pay");
//! let second = payments.ready().await?.call("pay");
//! let third = payments.ready().await?.call("pay");
//! assert_eq!((handle.in_flight(), handle.queued()), (2, 1));
//!
//! // The fourth call is refused.
//! let error = payments.ready().await?.call("pay").await.unwrap_err();
//! let rejection = Rejection::find(&*error).unwrap();
//! assert_eq!(rejection.reason(), Reason::BulkheadFull);
//!
//! // The third gets the slot of the first that ends.
//! let (first, second, third) = tokio::join!(first, second, third);
//! assert_eq!((first?, second?, third?), ("paid", "paid", "paid"));
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//!
//! A number is a fixed [`Limit`]. The number that serves best is not easy to know, and changes with
//! each release and each machine; an adaptive limit finds it out from how calls end and how long
//! they take. [`Limit::adaptive`] is the one to begin with, [`Limit::aimd`], [`Limit::vegas`] and
//! [`Limit::gradient`] are known from elsewhere, and [`Limit::custom`] takes your own. [`Sample`]
//! says which calls they learn from.
//!
//! # Who comes first
//!
//! Calls wait in the order that [`order`](BulkheadBuilder::order) says, and nobody who comes passes
//! somebody who waits and could have the same slot. When the queue is full and one more comes, the
//! one with the weakest claim is refused at once: who would be served last, which may be one that
//! waits. So neither a flood of background calls keeps a critical one out nor a neighbour the owner
//! of a share. [`Order`] says who it is for each order, and [`max_queue`](BulkheadBuilder::max_queue)
//! what counts besides.
//!
//! [`reserve`](BulkheadBuilder::reserve) keeps slots for important calls. What a call is worth, its
//! [`Context`](watertight_core::Context) says, or a closure.
//! [`partition`](BulkheadBuilder::partition) guarantees a share of the slots and of the queue to a
//! part of the calls, and lends what that leaves free to others: a guarantee may have to wait for one
//! borrowed slot to come back, so it takes a queue to have one. [`bypass`](BulkheadBuilder::bypass)
//! lets health checks pass.
//!
//! A call that has to wait and cannot be served before its deadline, with so many ahead and at the
//! pace of late, is refused when it comes. One that finds a slot is not asked for its deadline: who
//! refuses what has expired stands in front. The pace is known once a call has waited for a slot. When none has for as
//! long as a call takes, one is let wait in any case, which shows whether the pace is still the
//! same.
//!
//! # Keys
//!
//! With [`key`](BulkheadBuilder::key) each tenant, or host, has a bulkhead of its own, in bounded
//! memory, and one that hangs takes no more than its own limit. [`total`](BulkheadBuilder::total)
//! bounds all of them together, and is the one thing that they share: keep it above the number of
//! keys that may hang at once, times the limit of each, plus what the others need. With 100 of 1,000
//! keys that hang and a total of 1,000, a limit of 10 for each gives them all of it, and 21 % of the
//! calls to the others are served; with a limit of 5 it is 100 %. Or let a timeout inside end those
//! that hang.
//!
//! # Order
//!
//! Inside retry and the breaker, so that the pause before a retry holds no slot, and a refusal by
//! the breaker costs none. Outside the timeout of each attempt, so that a call that hangs gives its
//! slot back in the end; without one, `limit` calls that hang are the end of all others. A timeout
//! further out drops the call instead: the slot comes back, but an adaptive limit learns nothing of
//! it.
//!
//! # Readiness
//!
//! [`Bulkhead`] is ready when the inner service is, and holds no slot before it is called. A call
//! that has to wait leaves the instance that is ready to the next one: it takes a clone along, and
//! drives it to readiness when it has its slot. For both together it waits no longer than
//! [`max_wait`](BulkheadConfig::max_wait) and its deadline.
//!
//! # Cancellation
//!
//! A call that is dropped gives its slot back, or leaves the queue. A slot that was just granted to
//! it goes to the next. A panic of the inner service gives the slot back, and goes on to the
//! caller. Lowering a limit never ends a call. A dropped call is counted as cancelled, whether it
//! had its slot or waited for one, and teaches an adaptive limit nothing.
//!
//! # Errors
//!
//! A refused call fails with a [`Rejection`](watertight_core::Rejection):
//!
//! | reason | when |
//! | --- | --- |
//! | [`BulkheadFull`](watertight_core::Reason::BulkheadFull) | there is neither a slot nor a place in the queue, or its place went to a call with a better claim |
//! | [`QueueTimeout`](watertight_core::Reason::QueueTimeout) | it has waited for as long as it may |
//! | [`DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded) | its deadline cannot be met, or has passed while it waited |
//!
//! `retry_after` is how long it takes until there is a slot, where that is known: once some calls
//! have waited. Errors of the inner service pass untouched.
//!
//! # Sharing
//!
//! The slots belong to the layer: all services that one [`BulkheadLayer`] or its clones make, and
//! all clones of those services, share them.
//!
//! # Cost
//!
//! A call that finds a slot allocates nothing, takes no lock and reads no clock: it locks four
//! instructions, to hold on to its bulkhead and to its slot. So it is with keys, of which a thread
//! remembers those that it had of late; others it finds under the lock of a part of their map, which
//! is two more. A limit that learns times the call, and what that tells is handed over under a lock
//! that nobody waits for, which is two more for one call in 17, or in about thirty where the limit is
//! [adaptive](Limit::adaptive). Of more than 16 calls a millisecond on a thread most are not timed to
//! their ends, and are no part of that. A call that waits is allocated. Where none may wait, one that
//! is refused locks nothing, and its error is allocated.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`limit`](BulkheadConfig::limit) | required |
//! | [`max_queue`](BulkheadConfig::max_queue), [`max_wait`](BulkheadConfig::max_wait) | 0, 0 |
//! | [`order`](BulkheadConfig::order) | [`Order::Fifo`] |
//! | [`reserve`](BulkheadConfig::reserve), [`partitions`](BulkheadConfig::partitions) | none |
//! | [`total`](BulkheadConfig::total) | no bound |
//! | [`max_keys`](BulkheadConfig::max_keys), [`key_idle`](BulkheadConfig::key_idle) | 10,000, 10 min |
//!
//! The reasons are at the constants of [`BulkheadConfig`].
//!
//! # Telemetry
//!
//! Metrics, with `layer = "bulkhead"`: `watertight_calls_total`, `watertight_rejections_total`,
//! `watertight_in_flight`, `watertight_limit`, `watertight_queue_depth`, `watertight_utilization`,
//! and with keys `watertight_keys` and `watertight_keys_evicted_total`. With keys and no `total`,
//! the limit is not shown, and the utilization is that of the fullest key. More is in
//! [`BulkheadSnapshot`]. Refused calls are one `tracing` event a second for each reason. In flight is
//! who has a slot: neither a call that waits nor one that bypasses, and one whose body
//! [holds](BulkheadBuilder::finish) its slot until that ends.
//!
//! In [`Mode::Shadow`](watertight_core::Mode::Shadow) nothing waits: a call that would be refused or
//! have to wait passes at once, without a slot, and is counted as refused in shadow.

mod admission;
mod call;
mod compartment;
mod config;
mod counts;
mod future;
mod handle;
mod isolate;
mod layer;
mod limit;
mod order;
mod passage;
mod plan;
mod queue;
mod service;
mod settings;
mod shared;
pub mod sizing;
mod slots;
mod snapshot;
mod sync;
mod triage;
mod turn;
mod waiting;
mod way;

pub use call::BulkheadCall;
pub use config::BulkheadConfig;
pub use future::ResponseFuture;
pub use handle::BulkheadHandle;
pub use isolate::{
    Isolate, IsolateBuilder, IsolateCall, IsolateConfig, IsolateFuture, IsolateHandle, IsolateLayer,
};
pub use layer::{BulkheadBuilder, BulkheadLayer};
pub use limit::{Adaptive, Aimd, CustomLimit, Gradient, Limit, LimitAlgorithm, Sample, Vegas};
pub use order::Order;
pub use service::Bulkhead;
pub use snapshot::{BulkheadSnapshot, PartitionSnapshot};
pub use triage::{ByContext, Bypassing, Partitioned, Prioritised, Triage};
