//! The four golden signals of any service: latency, traffic, errors and saturation.

mod call;
mod handle;
mod layer;
mod service;
mod shared;

pub use call::SignalsCall;
pub use handle::SignalsHandle;
pub use layer::{SignalsBuilder, SignalsLayer};
pub use service::Signals;
