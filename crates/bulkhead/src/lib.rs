//! Bounds how many calls are in flight, so that one slow service cannot take all there is.
#![allow(dead_code, unused_imports, reason = "the layer comes next")]

mod config;
mod limit;
mod order;
mod queue;
mod slots;
mod sync;

pub use config::BulkheadConfig;
pub use limit::{Aimd, CustomLimit, Gradient, Limit, LimitAlgorithm, Sample, Vegas};
pub use order::Order;
