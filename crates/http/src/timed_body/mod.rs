//! Bodies that do not take longer than they may.

mod body;
mod request;
mod response;
#[cfg(test)]
mod tests;
mod upload;

pub use body::TimedBody;
pub use request::{RequestBodyTimeout, RequestBodyTimeoutFuture, RequestBodyTimeoutLayer};
pub use response::{ResponseBodyTimeout, ResponseBodyTimeoutFuture, ResponseBodyTimeoutLayer};
pub use upload::UploadBody;

use std::time::Duration;

use watertight_core::ConfigError;

#[track_caller]
fn checked(field: &'static str, time: Duration) -> Duration {
    let error = ConfigError::new(field, time, "more than zero");
    assert!(!time.is_zero(), "{error}");
    time
}
