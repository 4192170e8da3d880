//! Bodies that can be sent more than once.

mod body;
mod error;
mod keep;
mod limits;
#[cfg(all(test, watertight_loom))]
mod loom;
#[cfg(test)]
mod model;
mod readers;
#[cfg(test)]
mod script;
mod shared;
mod sync;
mod tape;

pub(crate) use body::KeptBody;
pub use body::ReplayBody;
pub use error::ReplayError;
pub(crate) use keep::keep;
pub(crate) use limits::{Limits, Total};
