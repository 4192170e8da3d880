//! Windows that slide: what was taken in the last period, and no more than the limit of it.

mod buckets;
mod builder;
mod entry;
mod log;
mod machine;
mod setting;
mod span;
mod taken;
mod two_counters;
mod windows;
mod word;

#[cfg(all(test, not(watertight_loom)))]
mod errors;
#[cfg(all(test, not(watertight_loom)))]
mod model;

pub use setting::SlidingWindow;

pub(crate) use buckets::Buckets;
pub(crate) use log::Log;
pub(crate) use machine::Window;
pub(crate) use two_counters::TwoCounters;
pub(crate) use windows::{Room, Windows};
pub(crate) use word::WordWindow;
