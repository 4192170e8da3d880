//! Retries over real sockets.

mod grpc;
mod hops;
mod http;

use std::time::Duration;

use watertight_core::{Backoff, Budget};
use watertight_metrics::Registry;
use watertight_retry::{RetryBuilder, RetryLayer};

/// A retry layer that does not wait, and whose budget is no limit.
fn retry() -> RetryBuilder {
    RetryLayer::builder("upstream")
        .backoff(Backoff::constant(Duration::ZERO))
        .budget(Budget::unlimited())
        .registry(&Registry::new())
}
