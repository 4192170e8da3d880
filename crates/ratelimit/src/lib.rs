//! Limits how much comes in a time: token bucket, sliding window, leaky bucket.

#![allow(dead_code, reason = "until the layers use the machines")]

mod decision;
mod quota;
mod quotas;

mod table;
mod ticks;

pub use decision::{Decision, Status};
pub use quota::Quota;
pub use quotas::Quotas;
pub use table::WhenFull;
