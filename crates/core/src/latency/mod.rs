//! What calls take: quantiles of late, and counts for ever, in the same buckets.

mod decay;
mod fading;
mod histogram;
mod quantile;
mod samples;
mod scale;

pub use histogram::Histogram;
pub use quantile::Quantile;
pub use samples::{Pick, Samples};
