//! How a breaker behaves, seen through its public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod body;
mod cancellation;
mod config;
mod contract;
mod half_open;
mod handle;
mod keys;
mod lab;
mod mode;
mod readiness;
mod recovery;
mod stage;
mod trip;
