//! The breaker in every host, straight in.

mod ends;
mod grpc_client;
mod grpc_server;
mod http_client;
mod http_server;

use watertight_breaker::{BreakerBuilder, BreakerLayer};
use watertight_metrics::Registry;

/// How many failures open the breakers of the tests.
const ENOUGH: usize = 4;

/// Starts a breaker that opens after [`ENOUGH`] failures.
fn breaker() -> BreakerBuilder {
    BreakerLayer::builder("upstream")
        .min_calls(4)
        .registry(&Registry::new())
}
