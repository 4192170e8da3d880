//! The layers of others, as a user would put them into a stack.

mod failsafe;
mod recloser;
mod tokio;
pub(crate) mod tower;
pub(crate) mod tower_resilience;

pub(crate) use failsafe::FailsafeLayer;
pub(crate) use recloser::RecloserLayer;
pub(crate) use tokio::SpawnBlockingLayer;
