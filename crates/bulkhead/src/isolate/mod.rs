//! The bulkhead whose calls run apart from those of everybody else.

mod alarm;
mod call;
mod config;
mod door;
mod future;
mod handle;
mod job;
mod layer;
mod origin;
mod pool;
mod run;
mod service;
mod shared;
mod turn;
mod waiting;

pub use call::IsolateCall;
pub use config::IsolateConfig;
pub use future::IsolateFuture;
pub use handle::IsolateHandle;
pub use layer::{IsolateBuilder, IsolateLayer};
pub use service::Isolate;
