//! Layers of several crates in one stack, on simulated time.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod attempts;
mod deadlines;
mod handler;
mod rate_limit;
mod storm;
