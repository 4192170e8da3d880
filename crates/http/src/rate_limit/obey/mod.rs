//! A client that comes when servers say that it may.

mod allowance;
mod by_host;
mod config;
mod core;
mod counts;
mod future;
mod going;
mod handle;
mod layer;
mod purse;
mod said;
mod server;
mod service;
mod shared;
mod snapshot;
mod waiting;

pub use by_host::ByHost;
pub use config::ObeyServerConfig;
pub use future::ObeyServerFuture;
pub use handle::ObeyServerHandle;
pub use layer::{ObeyServerBuilder, ObeyServerExt, ObeyServerLayer};
pub use service::ObeyServer;
pub use snapshot::ObeyServerSnapshot;
