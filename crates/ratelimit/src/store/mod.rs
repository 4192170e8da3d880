//! Quotas that many processes share, in a place of their own.

mod contract;
mod order;

pub use contract::Store;
pub use order::{Act, Answer, Order, Rule};
