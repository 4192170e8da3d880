//! Windows that slide: what was taken in the last period, and no more than the limit of it.

mod buckets;
mod counting;
mod entry;
mod log;
mod sliding;
mod span;
mod taken;
mod two_counters;


#[cfg(all(test, not(watertight_loom)))]
mod model;

pub use counting::Counting;

pub(crate) use buckets::Buckets;
pub(crate) use log::Log;
pub(crate) use sliding::SlidingWindow;
pub(crate) use two_counters::TwoCounters;
