//! The layers of others, as a user would put them into a stack.

mod failsafe;
mod recloser;
mod tower_resilience;

pub(crate) use failsafe::FailsafeLayer;
pub(crate) use recloser::RecloserLayer;
pub(crate) use tower_resilience::{count_window, forced_open};
