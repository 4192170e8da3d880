use std::task::Waker;

use tokio::time::Instant;
use watertight_core::Priority;

use crate::slots::Refusal;

/// What the order and the shares tell calls apart by. Those of one class are served in turn.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Class {
    pub(crate) priority: Priority,
    /// The number of its partition.
    pub(crate) partition: Option<u16>,
}

/// Somebody who waits, or who has waited and does not know yet what for.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) class: Class,
    /// When it came.
    pub(crate) since: Instant,
    /// When it has waited for long enough.
    pub(crate) until: Option<Instant>,
    /// When it is no more use to serve it.
    pub(crate) deadline: Option<Instant>,
    /// `None` until it is first polled, and once it is woken.
    pub(crate) waker: Option<Waker>,
    pub(crate) fate: Fate,
}

/// What became of a waiter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fate {
    Waits,
    /// It has a slot.
    Served,
    Refused(Refusal),
}

impl Class {
    /// How many priorities there are.
    pub(crate) const PRIORITIES: usize = Priority::Background as usize + 1;

    /// Returns the number of the class, where those of each partition follow each other.
    pub(crate) const fn index(self) -> usize {
        let partition = match self.partition {
            Some(number) => number as usize + 1,
            None => 0,
        };
        partition * Self::PRIORITIES + self.priority as usize
    }
}

impl Waiter {
    /// Whether it is too late to serve it.
    pub(crate) fn is_late(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= now)
    }
}
