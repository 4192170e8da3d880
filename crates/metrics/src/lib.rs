//! Where every layer counts, reports and is found again.
//!
//! A layer that refuses calls has to be seen doing so. Each layer that has a name is listed in a
//! [`Registry`], and there
//!
//! - [`snapshot`](Registry::snapshot) shows all of them at one moment, as plain serde data;
//! - [`find`](Registry::find) gives the handle of one by its name, to look at it or to take it in
//!   hand while it runs;
//! - [`subscribe`](Registry::subscribe) tells of changes as they happen, with the figures that led
//!   to them;
//! - [`publish`](Registry::publish) writes the counts to the recorder of the
//!   [`metrics`](https://docs.rs/metrics) crate.
//!
//! [`SignalsLayer`] measures any service: latency, traffic, errors and saturation.
//!
//! # Example
//!
//! ```
//! use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
//! use watertight_metrics::{Registry, SignalsLayer};
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> Result<(), BoxError> {
//! let registry = Registry::new();
//! let mut orders = ServiceBuilder::new()
//!     .layer(SignalsLayer::builder("orders").registry(&registry).build())
//!     .service_fn(|_: &'static str| async { Ok::<_, BoxError>("done") });
//!
//! orders.ready().await?.call("order").await?;
//!
//! let snapshot = registry.snapshot();
//! assert_eq!(snapshot.instances[0].calls.success, 1);
//! // In a handler of `/metrics`, before the recorder is asked for its text:
//! registry.publish();
//! # Ok(())
//! # }
//! ```
//!
//! # Metrics
//!
//! The counters live in the layers, and calls know nothing of a recorder: one that is installed
//! after the layers were made loses nothing, and a recorder of two registries gets the sum.
//!
//! | metric | kind | labels |
//! | --- | --- | --- |
//! | `watertight_calls_total` | counter | `layer`, `name`, `outcome` = success, failure, ignored, rejected, cancelled, stale |
//! | `watertight_rejections_total` | counter | `layer`, `name`, `reason`, `mode` = enforce, shadow |
//! | `watertight_call_duration_seconds` | histogram | `layer`, `name` |
//! | `watertight_in_flight`, `watertight_limit`, `watertight_queue_depth`, `watertight_utilization` | gauge | `layer`, `name` |
//! | `watertight_breaker_state` | gauge | `name`, `state` (1 for the state it is in, else 0) |
//! | `watertight_breaker_transitions_total` | counter | `name`, `from`, `to` |
//! | `watertight_keys`, `watertight_keys_evicted_total` | gauge, counter | `layer`, `name` |
//! | `watertight_instances` | gauge | `layer` |
//!
//! A counter never goes back, also when one of two layers of a name goes away. The gauges of a
//! layer that is gone are 0.
//!
//! # Tracing
//!
//! Each change of state or settings is an event of the target `watertight` with the fields `layer`,
//! `name` and `reason`; refused calls are one event a second, which says how many were not told.
//! There is none for a call that passes. An event is written when no lock of ours is held, and a
//! subscriber that panics changes nothing for the call.

mod burst;
mod event;
mod events;
mod instance;
mod latency;
mod names;
mod publisher;
mod registry;
mod reporter;
mod signals;
mod snapshot;

pub use event::{Event, Figures, StateChange, What};
pub use events::{Events, Missed};
pub use instance::{Handle, Instance};
pub use latency::Latency;
pub use registry::Registry;
pub use reporter::Reporter;
pub use signals::{Signals, SignalsBuilder, SignalsCall, SignalsHandle, SignalsLayer};
pub use snapshot::{
    CallCounts, DurationCounts, InstanceSnapshot, LatencySnapshot, PatternCount, RejectionCount,
    Snapshot, StateSnapshot, TransitionCount,
};
