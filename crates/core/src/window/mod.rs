//! What a breaker remembers of the calls that have ended, and the shares of them that failed or
//! were slow.
//!
//! A [`Window`] is the setting, a [`Tally`] the machine. Totals are kept up to date as records come
//! and go, so that no rate is ever read by a scan.

mod buckets;
mod decay;
#[cfg(all(test, watertight_loom))]
mod loom;
mod pending;
mod progress;
mod ring;
mod run;
mod setting;
mod slot;
mod standing;
mod sum;
pub(crate) mod sync;
mod tally;

pub use pending::Pending;
pub(crate) use progress::Progress;
pub use setting::Window;
pub use standing::{Record, Recorded, Run, Standing};
pub(crate) use sum::Sum;
pub use tally::Tally;
