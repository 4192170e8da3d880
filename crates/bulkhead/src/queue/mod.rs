//! Who waits for a slot, who of them is next, and how long it takes.

mod codel;
mod drain;
mod waiter;
mod waiters;

pub(crate) use codel::CoDel;
pub(crate) use drain::Drain;
pub(crate) use waiter::{Class, Fate, Waiter};
pub(crate) use waiters::Waiters;
