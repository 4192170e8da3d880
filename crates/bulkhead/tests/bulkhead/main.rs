//! How a bulkhead behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod adaptive;
mod body;
mod cancellation;
mod contract;
mod cost;
mod deadline;
mod displacement;
mod flood;
mod handle;
mod isolate;
mod keys;
mod lab;
mod limits;
mod mode;
mod priority;
mod queue;
mod readiness;
mod stage;
mod storm;
mod threads;
mod wakers;
