//! How a hedge behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod budget;
mod cancellation;
mod context;
mod contract;
mod cost;
mod handle;
mod lab;
mod latencies;
mod mode;
mod readiness;
mod repeat;
mod replica;
mod rules;
mod stage;
mod trigger;
