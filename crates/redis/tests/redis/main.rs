//! Stores against servers that the tests start.

mod cluster;
mod connections;
mod failover;
mod failures;
mod figures;
mod harness;
mod kept;
mod layers;
mod processes;
mod stage;
#[cfg(feature = "tls")]
mod tls;
