//! Windows that slide: what was taken in the last period, and no more than the limit of it.

mod buckets;
mod entry;
mod log;
mod setting;
mod span;
mod taken;
mod two_counters;
mod window;
mod windows;
mod word;

#[cfg(all(test, not(watertight_loom)))]
mod model;

pub use setting::SlidingWindow;

pub(crate) use buckets::Buckets;
pub(crate) use log::Log;
pub(crate) use two_counters::TwoCounters;
#[allow(unused_imports, reason = "until the layers use it")]
pub(crate) use window::Window;
pub(crate) use windows::{Room, Windows};
pub(crate) use word::WordWindow;
