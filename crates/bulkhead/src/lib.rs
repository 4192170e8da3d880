//! Bounds how many calls are in flight, so that one slow service cannot take all there is.

#![allow(dead_code, unused_imports, reason = "the layer comes next")]

mod limit;

pub use limit::{Adaptive, Aimd, CustomLimit, Gradient, Limit, LimitAlgorithm, Sample, Vegas};
