//! How rate limits behave, seen through their public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod cancellation;
mod contract;
mod cost;
mod handle;
mod keys;
mod mode;
mod notes;
mod pace;
mod penalty;
mod plans;
mod readiness;
mod stage;
mod store;
mod token_bucket;
