//! Stores against servers that the tests start.

mod cluster;
mod failures;
mod figures;
mod harness;
mod kept;
mod layers;
mod processes;
mod stage;
