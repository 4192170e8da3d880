//! Behaviour through the public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod allocations;
mod body_timeout;
mod fuzz_corpus;
mod obey_server;
mod respond;
