//! Bounds how many calls are in flight, so that one slow service cannot take all there is.
#![allow(dead_code, reason = "the layer comes next")]

mod config;
mod limit;
mod order;

pub use config::BulkheadConfig;
pub use limit::{Aimd, CustomLimit, Gradient, Limit, LimitAlgorithm, Sample, Vegas};
pub use order::Order;
