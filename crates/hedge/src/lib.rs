//! Sends a slow call a second time, and takes the first good answer.
//!
//! Few calls are slow: one waits behind a collection of garbage, a full disk queue, a lost packet.
//! But who asks a hundred services waits for the slowest of a hundred, and for them the rare case
//! is the rule. [`HedgeLayer`] waits as long as most calls take. Where there is no answer by then,
//! it sends the request once more, a hedge, to wherever the service below sends it, and whichever
//! answer comes first is the answer. A root with 100 leaves whose slowest roots in a thousand take
//! 1.8 s has them in 72 ms, for 1.8 % more calls (measured, with the defaults, from a cold start).
//!
//! Use it around reads, and around writes that the service knows by a key, where there is more than
//! one replica, or one call's bad luck is not the next one's. It is no use against a service that is
//! slow altogether, and it does no harm to one: hedges are paid from a
//! [`Budget`](watertight_core::Budget).
//!
//! # Example
//!
//! Over HTTP, say so first, by `HttpExt` of `watertight-http`: then it is known which answers are
//! failures, and which requests may be sent twice, and how.
//!
//! ```
//! use watertight_hedge::HedgeLayer;
//! use watertight_http::HttpExt;
//!
//! let layer = HedgeLayer::builder("search").http().build();
//! # let _ = layer;
//! ```
//!
//! Elsewhere, say what may be sent twice. The first call is slow here, and its hedge is not:
//!
//! ```
//! use std::sync::atomic::{AtomicU32, Ordering};
//! use std::time::Duration;
//!
//! use tokio::time::{Instant, sleep};
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_core::Always;
//! use watertight_hedge::HedgeLayer;
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let calls = AtomicU32::new(0);
//! let hedge = HedgeLayer::builder("search")
//!     .repeat(Always)
//!     .after(Duration::from_millis(20))
//!     .build();
//! let handle = hedge.handle();
//! let mut search = ServiceBuilder::new()
//!     .layer(hedge)
//!     .service_fn(|query: &'static str| {
//!         let takes = match calls.fetch_add(1, Ordering::Relaxed) {
//!             0 => Duration::from_secs(3),
//!             _ => Duration::from_millis(5),
//!         };
//!         async move {
//!             sleep(takes).await;
//!             Ok::<_, BoxError>(format!("12 {query}"))
//!         }
//!     });
//!
//! let start = Instant::now();
//! assert_eq!(search.ready().await?.call("apples").await?, "12 apples");
//! assert!(Instant::now() - start < Duration::from_millis(30));
//! assert_eq!(handle.snapshot().won_by_hedge, 1);
//! # Ok(())
//! # }
//! ```
//!
//! # When a hedge is sent
//!
//! After [`after_percentile`](HedgeBuilder::after_percentile), which follows the service: 0.98 is as
//! long as 98 % of the calls of late took. Or after a fixed time, or what a closure says. Timers tick
//! in milliseconds. No hedge is sent
//!
//! - during the warm-up of a percentile, and while there are too few calls to have one;
//! - for a request that [`Repeat`](watertight_core::Repeat) does not allow to be sent twice;
//! - for a request that came in as somebody's retry already
//!   ([`upstream_attempt`](watertight_core::Context::upstream_attempt));
//! - at the deadline of the [`Context`](watertight_core::Context), or later;
//! - without a budget for it.
//!
//! With [`max_hedges`](HedgeConfig::max_hedges) above 1 the next follows after the same time again.
//! Each attempt runs in the `Context` of the call with its own
//! [`attempt`](watertight_core::Context::attempt), and with the same idempotency key.
//!
//! # Which answer counts
//!
//! | | no hedge sent yet | hedges in flight |
//! | --- | --- | --- |
//! | a success, or what the classifier ignores | is the answer | is the answer |
//! | a retryable failure | is the answer: to repeat it is a retry's work | sends the next hedge at once; with a hint to come later (`Retry-After`, a pushback), then and not before |
//! | a fatal failure, such as a 400 | is the answer | is the answer |
//! | "do not come again" (a negative pushback, a hint above 30 s), a [`Rejection`](watertight_core::Rejection) of a layer below | is the answer | the others are waited for, and no further hedge is sent |
//! | the last failure | | the answer is the first attempt's |
//!
//! Whoever has lost is dropped before the answer is returned. An answer that is ready in the same
//! poll as the timer comes first.
//!
//! # What is learnt
//!
//! What first attempts take that are answered. Of one that lost, or that a caller gave up on, it is
//! known that it took longer: it counts so, if it outlived the delay, and not at all otherwise.
//! A failure that came before there was a hedge says nothing. So the delay is the one that there
//! would be if all calls were waited for.
//!
//! # Order
//!
//! Inside retry, which repeats what failed, and outside all that counts attempts: a breaker, a limit
//! on calls in flight. What chooses a replica, such as a balancer, must be inside, or the hedge goes
//! where the call is stuck; or name another service by [`to`](HedgeBuilder::to).
//!
//! # Readiness
//!
//! [`Hedge`] is ready when the inner service is. A hedge drives a clone of it to readiness when it is
//! due, or the service of `to`, while the first attempt goes on. If that fails, no hedge is sent.
//!
//! # Cancellation
//!
//! A call that is dropped drops all its attempts, and gives back what it paid for a hedge that was
//! not sent. A panic of any attempt is one failure, and goes on to the caller.
//!
//! # Errors
//!
//! The layer has none of its own. Those of the inner service pass untouched.
//!
//! # Sharing
//!
//! Latencies, budget and counts belong to the layer: all services that one [`HedgeLayer`] or its
//! clones make share them. A [`Budget`](watertight_core::Budget) can be shared by several layers, a
//! retry too: each feeds it by the calls that come to it, so that a call through a retry and a hedge
//! with one budget of a ratio counts in both, and the ratio is to be half as much there. A call that
//! may be hedged takes a clone of the service along.
//!
//! # Cost
//!
//! A call that is answered at once makes no timer and allocates nothing. The clock is read when it
//! begins and when it ends, above some thousand calls a second only for one in eight, and not at
//! all with a fixed delay. A hedge that is sent is allocated.
//!
//! # Defaults
//!
//! | setting | default |
//! | --- | --- |
//! | [`trigger`](HedgeConfig::trigger) | the 98th percentile |
//! | [`max_hedges`](HedgeConfig::max_hedges) | 1 |
//! | [`budget`](HedgeBuilder::budget) | 0.05, with 10 a second over 10 s in any case |
//! | [`min_samples`](HedgeConfig::min_samples) | 100 |
//!
//! The reasons are at the constants of [`HedgeConfig`] and [`HedgeBuilder`].
//!
//! # Telemetry
//!
//! Metrics: `watertight_calls_total` and `watertight_in_flight` with `layer = "hedge"`, and
//! `watertight_hedges_total`, the calls that sent hedges, by `winner`: `primary` or `hedge`. More is
//! in [`HedgeSnapshot`]. A budget that is used up is an event, once a second. There is no callback
//! for a hedge, whose failure would be the call's: what is to be done for each belongs into a layer
//! below, where [`attempt`](watertight_core::Context::attempt) tells it from the first attempt.
//! In [`Mode::Shadow`](watertight_core::Mode::Shadow) hedges are paid for and counted, and not sent:
//! a budget that others share is better left out of that.

mod call;
mod config;
mod counts;
mod future;
mod handle;
mod hedges;
mod latencies;
mod layer;
#[cfg(all(test, watertight_loom))]
mod loom;
mod machine;
mod plan;
mod race;
mod service;
mod shared;
mod shared_config;
mod snapshot;
mod sync;
mod target;
mod trigger;

pub use config::HedgeConfig;
pub use future::ResponseFuture;
pub use handle::HedgeHandle;
pub use latencies::Latencies;
pub use layer::{HedgeBuilder, HedgeLayer};
pub use service::Hedge;
pub use snapshot::HedgeSnapshot;
pub use target::{Replica, SameService, Target};
pub use trigger::{DelayFn, Trigger};
