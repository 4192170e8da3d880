//! A bounded map of heavy entries, one for each [`Key`](crate::Key) that a layer tells apart.

mod map;
mod secret;
mod shard;

pub use map::{Entry, Keyed};
