//! How rate limits behave, seen through their public API.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod contract;
