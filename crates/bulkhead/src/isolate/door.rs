use std::sync::Arc;

use super::shared::Shared;
use crate::slots::{Entrance, Room};

/// A call's way to the room of its layer. It keeps the threads alive on which the call runs.
pub(super) type Door = Arc<Shared>;

impl Entrance for Door {
    fn room(&self) -> &Room {
        &self.room
    }

    /// To run a call elsewhere costs so much that one stripe is enough.
    fn stripe(&self) -> usize {
        0
    }
}
