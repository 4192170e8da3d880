//! Limits how much comes in a time: token bucket, sliding window, leaky bucket.

#![allow(dead_code, reason = "until the layers use the machines")]

mod decision;
mod gcra;
mod leaky;
#[cfg(all(test, not(watertight_loom)))]
mod model;
mod past;
mod quota;
mod quotas;
mod sync;
mod table;
mod ticks;
mod token_bucket;
mod window;
mod words;

pub use decision::{Decision, Status};
pub use leaky::LeakyBucket;
pub use quota::Quota;
pub use quotas::Quotas;
pub use table::WhenFull;
pub use window::SlidingWindow;
