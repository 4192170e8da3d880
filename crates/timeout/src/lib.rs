//! Ends calls that take too long.

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
mod samples;
mod service;
mod shared;
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
