//! Leases: a process takes several permits at a time, and spends them without asking.

mod asking;
mod entry;
mod error;
mod leased;
mod permits;
#[cfg(all(test, not(watertight_loom)))]
mod simulation;

pub use asking::LeasedAsking;
pub use error::LeaseError;
pub use leased::Leased;
