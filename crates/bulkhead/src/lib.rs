//! Bounds how many calls are in flight.

mod config;
mod limit;
mod order;

pub use config::BulkheadConfig;
pub use limit::Limit;
pub use order::Order;
