use std::sync::Arc;

use tokio::time::Instant;
use watertight_core::{Entry, Padded, Used, is_held_once, stripe_count, thread_number};

use crate::compartment::Compartment;
use crate::counts::Counts;
use crate::limit::Thinning;
use crate::slots::{Entrance, Room};

/// A call's way to its compartment: the stripe of the thread that made it, or where there are keys
/// the entry of its key.
pub(crate) type Held = Arc<Padded<Way>>;

/// Leads to a compartment.
#[derive(Debug)]
pub(crate) struct Way {
    pub(crate) compartment: Arc<Compartment>,
    /// Those of the compartment, one step nearer.
    pub(crate) counts: Arc<Counts>,
    pub(crate) stripe: usize,
    thinning: Thinning,
    used: Used,
}

impl Way {
    pub(crate) fn new(compartment: &Arc<Compartment>, stripe: usize) -> Self {
        Self {
            compartment: Arc::clone(compartment),
            counts: Arc::clone(&compartment.counts),
            stripe,
            thinning: Thinning::default(),
            used: Used::default(),
        }
    }

    /// Returns when a call begins that is to be a sample, in the time of its compartment. Of very
    /// many calls few are, and it is known by now which, so that no others are timed to their ends.
    #[inline(never)]
    pub(crate) fn begin(&self) -> Option<u64> {
        let now = self.compartment.time(Instant::now());
        self.thinning.lets_through(now).then_some(now)
    }
}

impl Entrance for Held {
    #[inline]
    fn room(&self) -> &Room {
        &self.compartment.room
    }

    #[inline]
    fn stripe(&self) -> usize {
        self.stripe
    }
}

impl Entry for Way {
    /// Nobody is in a room or waits for it to which nobody holds a way. Then only what its limit has
    /// learnt would be lost. One that somebody has set by hand, or holds a handle of, stays.
    fn worth(&self, _: Instant) -> Option<u64> {
        let may_go = is_held_once(&self.compartment) && !self.compartment.is_set_by_hand();
        may_go.then(|| self.compartment.learnt())
    }

    #[inline]
    fn used(&self) -> &Used {
        &self.used
    }
}

/// A call's way to the room of all keys together.
#[derive(Clone)]
pub(crate) struct WayToAll(pub(crate) Held);

impl Entrance for WayToAll {
    #[inline]
    fn room(&self) -> &Room {
        &self.0.compartment.all
    }

    /// The way to a key's room has no stripe, for that has only one.
    #[inline]
    fn stripe(&self) -> usize {
        thread_number() & (stripe_count() - 1)
    }
}
