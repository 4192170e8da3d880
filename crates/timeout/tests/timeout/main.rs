//! How a timeout behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod contract;
mod deadline;
