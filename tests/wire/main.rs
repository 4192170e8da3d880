//! Our layers inside the hosts that they are made for, on real sockets.
//!
//! What is asserted are counts and orders, never times; `bounded` ends a test that hangs.

#![allow(clippy::unwrap_used, reason = "what a test unwraps is there")]

mod breaker;
mod client_key;
mod context;
mod deadline;
mod echo;
mod hedge;
mod obey_server;
mod replay;
mod retry;
mod server;
mod web;
