//! The registry and what it tells, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod contract;
mod events;
mod fake;
mod publish;
mod registry;
mod signals;
mod tracing;
