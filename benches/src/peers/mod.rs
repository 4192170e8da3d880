//! The layers of others, as a user would put them into a stack.

mod failsafe;
mod recloser;
pub(crate) mod tower;
pub(crate) mod tower_resilience;

pub(crate) use failsafe::FailsafeLayer;
pub(crate) use recloser::RecloserLayer;
