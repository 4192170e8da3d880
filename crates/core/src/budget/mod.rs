//! How much extra work, such as retries and hedges, may come on top of the calls.
//!
//! A [`Budget`] is the handle that layers share, a [`BudgetCall`] one call's dealings with it. Each
//! style is a machine of its own, which is handed the time and has no lock.

mod call;
mod concurrent;
mod grpc;
#[cfg(all(test, watertight_loom))]
mod loom;
mod machine;
mod ratio;
mod settings;
mod shared;
#[cfg(all(test, not(watertight_loom)))]
mod simulation;
mod tokens;
#[cfg(feature = "tower")]
mod tower;

pub use call::BudgetCall;
pub use shared::Budget;
