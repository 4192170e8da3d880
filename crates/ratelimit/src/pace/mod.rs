//! The service of a leaky bucket, in which calls wait for their turns.

mod booking;
mod future;
mod service;
mod waiting;

pub use future::PacedFuture;
pub use service::Pace;
