//! The layers that limit how long bodies take. When a body is too slow is shown beside them.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod contract;
mod handle;
mod mode;
mod stage;
