use std::fmt;

use tokio::time::Instant;

use crate::slots::Room;

/// A call's way to its room. It is cloned for a call that gets in or waits.
pub(crate) trait Entrance: Clone {
    fn room(&self) -> &Room;

    /// The number of the stripe on which the call counts, below that of the room's settings.
    fn stripe(&self) -> usize;
}

/// What a call took that is in the room, as it has to be given back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) stripe: u32,
    pub(crate) partition: Option<u16>,
}

/// A slot, which is given back when this is dropped.
pub(crate) struct Permit<E: Entrance> {
    /// `None` once somebody else sees to the slot.
    entrance: Option<E>,
    place: Place,
}

const HELD: &str = "a permit has its slot until it is gone";

impl<E: Entrance> Permit<E> {
    pub(super) const fn new(entrance: E, place: Place) -> Self {
        Self {
            entrance: Some(entrance),
            place,
        }
    }

    pub(crate) fn entrance(&self) -> &E {
        self.entrance.as_ref().expect(HELD)
    }

    /// Hands the slot over to somebody else, who has to give it back.
    pub(crate) fn into_parts(mut self) -> (E, Place) {
        (self.entrance.take().expect(HELD), self.place)
    }
}

impl<E: Entrance> Drop for Permit<E> {
    fn drop(&mut self) {
        if let Some(entrance) = &self.entrance {
            entrance.room().leave(self.place, Instant::now);
        }
    }
}

impl<E: Entrance> fmt::Debug for Permit<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Permit").field(&self.place).finish()
    }
}
