//! How a timeout behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod adaptive;
mod connector;
mod contract;
mod cost;
mod deadline;
mod fixed;
mod handle;
mod mode;
mod ready;
mod stage;
