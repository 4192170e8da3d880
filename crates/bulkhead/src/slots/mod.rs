//! The machine: how many calls are in flight, which of them may have a slot, and who waits for one.

mod claim;
mod counter;
mod floors;
mod hall;
mod locked;
mod partitions;
mod permit;
mod refusal;
mod room;
mod settings;
mod shares;
mod ticket;
mod visitor;
mod woken;

pub(crate) use partitions::PartitionFigures;
pub(crate) use permit::{Entrance, Permit, Place};
pub(crate) use refusal::Refusal;
pub(crate) use room::Room;
pub(crate) use settings::RoomSettings;
pub(crate) use shares::Shares;
pub(crate) use ticket::{Arrival, Ticket};
pub(crate) use visitor::Visitor;
pub(crate) use woken::Woken;

#[cfg(all(test, not(watertight_loom)))]
mod deadlines;
#[cfg(all(test, watertight_loom))]
mod loom;
#[cfg(all(test, not(watertight_loom)))]
mod model;
#[cfg(all(test, not(watertight_loom)))]
mod scenes;
#[cfg(all(test, not(watertight_loom)))]
mod stage;
#[cfg(all(test, not(watertight_loom)))]
mod standing_queue;
#[cfg(all(test, not(watertight_loom)))]
mod stress;
#[cfg(all(test, not(watertight_loom)))]
mod tickets;
