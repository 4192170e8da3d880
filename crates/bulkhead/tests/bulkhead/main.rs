//! How a bulkhead behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod deadline;
mod limits;
mod priority;
mod queue;
mod stage;
