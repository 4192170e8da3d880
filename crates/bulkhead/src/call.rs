use std::fmt;
use std::mem;

use tokio::time::Instant;
use watertight_core::{Call, Outcome};

use crate::counts::Count;
use crate::plan::Plan;
use crate::slots::{Permit, Place, Room};
use crate::way::{Held, WayToAll};

/// A call that has passed a bulkhead. It holds its slot until it ends or is dropped.
pub struct BulkheadCall {
    /// `None` for a call that the bulkhead does not look at, and once it has ended.
    way: Option<Held>,
    slots: Slots,
    /// When the service was called, in the time of its compartment, if the call is a sample, or
    /// [`UNTIMED`].
    began: u64,
}

/// No compartment gets as old as that.
const UNTIMED: u64 = u64::MAX;

impl BulkheadCall {
    /// Starts the call that was given this place.
    #[inline]
    pub(crate) const fn new(way: Held, place: Place) -> Self {
        Self {
            way: Some(way),
            slots: Slots::new(place),
            began: UNTIMED,
        }
    }

    /// Starts the call that holds these slots: its own, and one of those of all keys together.
    pub(crate) fn of(own: Permit<Held>, of_all: Option<Permit<WayToAll>>) -> Self {
        let (way, place) = own.into_parts();
        let mut call = Self::new(way, place);
        if let Some(of_all) = of_all {
            let (_, place) = of_all.into_parts();
            call.slots = call.slots.with_one_of_all(place);
        }
        call
    }

    #[inline]
    pub(crate) const fn unwatched() -> Self {
        Self {
            way: None,
            slots: Slots(0),
            began: UNTIMED,
        }
    }

    /// Takes the time from now, if the plan says so and the call is to be a sample.
    #[inline(always)]
    pub(crate) fn begin(mut self, plan: Plan) -> Self {
        if plan.is_timed()
            && let Some(way) = &self.way
        {
            self.began = way.begin().unwrap_or(UNTIMED);
        }
        self
    }

    /// Ends a call that is a sample. What learns from it may panic: the call is whole until then.
    #[inline(never)]
    fn end_sample(mut self, outcome: &Outcome) {
        if let Some(way) = &self.way {
            way.compartment.learn(self.began, outcome);
        }
        if let Some(way) = self.way.take() {
            Self::finish(&way, self.slots, Count::of(outcome));
        }
    }

    /// Gives the slots back of a call that was never made, and has been counted as refused.
    #[cold]
    pub(crate) fn give_up(mut self) {
        if let Some(way) = self.way.take() {
            Self::give_back(&way, self.slots);
        }
    }

    /// Counts a call and gives its slots back.
    #[inline(always)]
    fn finish(way: &Held, slots: Slots, count: Count) {
        way.counts.add(count);
        Self::give_back(way, slots);
    }

    #[inline(always)]
    fn give_back(way: &Held, slots: Slots) {
        let compartment = &way.compartment;
        let place = slots.place(way.stripe as u32);
        compartment.room.leave(place, Instant::now);
        if let Some(place) = slots.place_of_all() {
            leave_all(&compartment.all, place);
        }
    }
}

impl Call for BulkheadCall {
    fn head(&mut self, _: &Outcome) {}

    /// Ends the call by its parts, which stay in registers. As a whole it was written to memory by the
    /// word and would be read back by the pair, which stalls.
    #[inline(always)]
    fn end(mut self, outcome: Outcome) {
        let (way, slots, began) = (self.way.take(), self.slots, self.began);
        // It holds nothing any more, and would be looked at again for that.
        mem::forget(self);
        let Some(way) = way else { return };
        if began == UNTIMED {
            Self::finish(&way, slots, Count::of(&outcome));
        } else {
            let way = Some(way);
            Self { way, slots, began }.end_sample(&outcome);
        }
    }
}

impl Drop for BulkheadCall {
    #[inline]
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            cancel(&way, self.slots);
        }
    }
}

/// Gives back a slot in the room of all keys, which few bulkheads have.
#[inline(never)]
fn leave_all(all: &Room, place: Place) {
    all.leave(place, Instant::now);
}

#[cold]
fn cancel(way: &Held, slots: Slots) {
    BulkheadCall::finish(way, slots, Count::Cancelled);
}

impl fmt::Debug for BulkheadCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BulkheadCall").finish_non_exhaustive()
    }
}

/// The slots that a call holds, in one word: it rides in a future, which is moved about.
#[derive(Clone, Copy, Debug)]
struct Slots(u64);

/// Above this is one more than the stripe in the room of all keys, or 0. Below is one more than the
/// number of the partition, or 0.
const OF_ALL_SHIFT: u32 = 32;
const PARTITION: u64 = (1 << OF_ALL_SHIFT) - 1;

impl Slots {
    #[inline]
    const fn new(place: Place) -> Self {
        Self(match place.partition {
            Some(number) => number as u64 + 1,
            None => 0,
        })
    }

    const fn with_one_of_all(self, place: Place) -> Self {
        Self(self.0 | (place.stripe as u64 + 1) << OF_ALL_SHIFT)
    }

    /// Returns the one in the call's own room.
    #[inline]
    const fn place(self, stripe: u32) -> Place {
        let partition = match self.0 & PARTITION {
            0 => None,
            more => Some((more - 1) as u16),
        };
        Place { stripe, partition }
    }

    /// Returns the one in the room of all keys.
    #[inline]
    const fn place_of_all(self) -> Option<Place> {
        match self.0 >> OF_ALL_SHIFT {
            0 => None,
            more => Some(self.place((more - 1) as u32)),
        }
    }
}
