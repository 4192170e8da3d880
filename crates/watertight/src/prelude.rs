//! What a stack is written with: `use watertight::prelude::*`.
//!
//! The layers, the words of the protocols, and tower's own. Not in it: [`Context`](crate::Context),
//! which [`std::task`] has too, `RespondExt`, which gives every type a method, and `ApiKey`, which
//! services like to call a type of theirs.

pub use tower::{Layer, Service, ServiceBuilder, ServiceExt};

#[cfg(feature = "breaker")]
pub use watertight_breaker::BreakerLayer;
#[cfg(feature = "bulkhead")]
pub use watertight_bulkhead::{BulkheadLayer, IsolateLayer};
#[cfg(feature = "hedge")]
pub use watertight_hedge::HedgeLayer;
#[cfg(feature = "http")]
pub use watertight_http::{ClientKey, HttpExt, ObeyServerLayer, PeerKey};
#[cfg(feature = "ratelimit")]
pub use watertight_ratelimit::{LeakyBucketLayer, Quota, SlidingWindowLayer, TokenBucketLayer};
#[cfg(feature = "retry")]
pub use watertight_retry::RetryLayer;
#[cfg(feature = "timeout")]
pub use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer, TimeoutLayer};
