use std::fmt;

use tokio::time::Instant;

use crate::slots::Room;

/// A call's way to its room.
pub(crate) trait Entrance {
    fn room(&self) -> &Room;

    /// The number of the stripe on which the call counts, below that of the room's settings.
    fn stripe(&self) -> usize;
}

/// What a call took that is in the room, as it has to be given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(super) stripe: u32,
    pub(super) partition: Option<u16>,
}

/// A slot, which is given back when this is dropped.
pub(crate) struct Permit<E: Entrance> {
    entrance: E,
    place: Place,
}

impl<E: Entrance> Permit<E> {
    pub(super) const fn new(entrance: E, place: Place) -> Self {
        Self { entrance, place }
    }

    pub(crate) const fn entrance(&self) -> &E {
        &self.entrance
    }
}

impl<E: Entrance> Drop for Permit<E> {
    #[inline]
    fn drop(&mut self) {
        self.entrance.room().leave(self.place, Instant::now);
    }
}

impl<E: Entrance> fmt::Debug for Permit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.place).finish()
    }
}
