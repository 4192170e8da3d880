//! A bounded map of heavy entries, one for each [`Key`](crate::Key) that a layer tells apart, and
//! the secret that tables of keys hash by.

mod entry;
mod map;
mod places;
mod recent;
mod secret;
mod shard;
mod shards;

pub use entry::{Entry, Used, is_held_once};
pub use map::Keyed;
pub use secret::{Mixer, Secret};
