//! How a retry layer behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod attempts;
mod budget;
mod cancellation;
mod contract;
mod exhausted;
mod handle;
mod hints;
mod ledger;
mod limits;
mod model;
mod nested;
mod readiness;
mod refresh;
mod repeat;
mod stage;
