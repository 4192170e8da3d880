//! How long to wait before something is tried again.
//!
//! A [`Backoff`] is the setting, and [`Delays`] are what one call draws from it. The
//! [`Shape`](shape::Shape) says how delays grow, and the [`Jitter`] how far each is spread.

mod delays;
mod draws;
mod jitter;
mod setting;
mod shape;
#[cfg(feature = "tower")]
mod tower;
#[cfg(feature = "serde")]
mod written;

pub use delays::Delays;
pub use jitter::Jitter;
pub use setting::Backoff;
