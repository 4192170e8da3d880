//! Bodies that do not take longer than they may.

mod body;
mod call;
mod config;
mod counts;
mod handle;
mod layer;
mod request;
mod response;
mod shared;
mod side;
mod snapshot;
#[cfg(test)]
mod tests;
mod upload;

pub use body::TimedBody;
pub use config::BodyTimeoutConfig;
pub use handle::{BodyTimeoutHandle, RequestBodyTimeoutHandle, ResponseBodyTimeoutHandle};
pub use layer::{
    BodyTimeoutBuilder, BodyTimeoutLayer, RequestBodyTimeoutLayer, ResponseBodyTimeoutLayer,
};
pub use request::{RequestBodyTimeout, RequestBodyTimeoutFuture};
pub use response::{ResponseBodyTimeout, ResponseBodyTimeoutFuture};
pub use side::{RequestBodies, ResponseBodies, Side};
pub use snapshot::BodyTimeoutSnapshot;
pub use upload::UploadBody;
