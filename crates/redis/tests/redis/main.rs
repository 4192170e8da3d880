//! Stores against servers that the tests start.

#[cfg(feature = "tls")]
mod certificates;
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
