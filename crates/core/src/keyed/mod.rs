//! A bounded map of heavy entries, one for each [`Key`](crate::Key) that a layer tells apart, and
//! the secret that tables of keys hash by.

mod map;
mod secret;
mod shard;

pub use map::{Entry, Keyed};
pub use secret::{Mixer, Secret};
