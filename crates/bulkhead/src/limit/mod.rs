//! How many calls may be in flight, and the algorithms that find it out.
//!
//! A [`Limit`] is the setting. An algorithm is a state machine behind [`LimitAlgorithm`], which is
//! handed finished calls as [`Sample`]s; [`Learned`] is what the layer keeps of it.

mod adaptive;
mod aimd;
mod algorithm;
mod gathering;
mod gradient;
mod learned;
mod probe;
mod range;
mod sample;
#[cfg(test)]
mod samples;
mod setting;
#[cfg(test)]
mod simulation;
mod tally;
mod thinning;
mod undisturbed;
mod vegas;

pub use adaptive::Adaptive;
pub use aimd::Aimd;
pub use algorithm::LimitAlgorithm;
pub(crate) use gathering::Gathering;
pub use gradient::Gradient;
pub(crate) use learned::Learned;
pub use sample::Sample;
pub use setting::{CustomLimit, Limit};
pub(crate) use thinning::Thinning;
pub use vegas::Vegas;
