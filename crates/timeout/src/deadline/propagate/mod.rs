//! Telling the next service how long a caller waits.

mod config;
mod departure;
mod future;
mod handle;
mod layer;
mod service;
mod shared;
mod snapshot;
mod told;

pub use config::PropagateDeadlineConfig;
pub use future::PropagateDeadlineFuture;
pub use handle::PropagateDeadlineHandle;
pub use layer::{PropagateDeadlineBuilder, PropagateDeadlineLayer};
pub use service::PropagateDeadline;
pub use snapshot::PropagateDeadlineSnapshot;
