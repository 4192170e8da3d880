//! A leaky bucket: calls start at an even pace, and those that come early wait for their turn.

mod builder;
#[cfg(all(test, watertight_loom))]
mod loom;
mod setting;
mod tempo;
mod turns;

pub use setting::LeakyBucket;

pub(crate) use tempo::Place;
pub(crate) use turns::{Turn, Turns};
