//! How long callers wait: taken over where calls come in, and passed on where calls go out.

mod arrival;
mod call;
mod config;
mod counts;
mod future;
mod handle;
mod layer;
mod leniency;
mod propagate;
mod service;
mod shared;
mod snapshot;
mod times;

pub use call::DeadlineCall;
pub use config::DeadlineConfig;
pub use future::DeadlineFuture;
pub use handle::DeadlineHandle;
pub use layer::{DeadlineBuilder, DeadlineLayer};
pub use propagate::{
    PropagateDeadline, PropagateDeadlineBuilder, PropagateDeadlineConfig, PropagateDeadlineFuture,
    PropagateDeadlineHandle, PropagateDeadlineLayer, PropagateDeadlineSnapshot,
};
pub use service::Deadline;
pub use snapshot::DeadlineSnapshot;
