use std::time::Duration;

use watertight_core::Priority;

use crate::Order;

/// What a room is made from. Plain data that has been checked.
#[derive(Clone, Debug)]
pub(crate) struct RoomSettings {
    /// How many may be in at once.
    pub(crate) limit: usize,
    /// How many may wait. With 0 nobody does.
    pub(crate) max_queue: usize,
    pub(crate) max_wait: Duration,
    pub(crate) order: Order,
    /// What share of the slots is kept for a priority and the more important ones.
    pub(crate) reserves: Vec<(Priority, f64)>,
    /// What share of the slots belongs to a partition. What it leaves free is lent: if all of it
    /// is, it waits for one of those calls to end, for no slot that comes free is lent again while
    /// it wants one.
    pub(crate) partitions: Vec<(String, f64)>,
    /// On how many cache lines its slots are counted, of which each thread uses its own. 1 where
    /// there are thousands of rooms, and a power of two.
    pub(crate) stripes: usize,
}
