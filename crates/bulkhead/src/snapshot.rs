use watertight_core::Mode;
use watertight_metrics::LatencySnapshot;

use crate::slots::{PartitionFigures, Room};

/// A look at one bulkhead, or at those of all keys.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BulkheadSnapshot {
    /// Whether it refuses calls, or only counts.
    pub mode: Mode,
    /// How many calls may be in flight. Of many keys it is [`total`](crate::BulkheadConfig::total),
    /// or where that is not set the limit of the calls without a key.
    pub limit: usize,
    /// How many calls are in flight: have a slot. While slots move between threads it may be some
    /// off for a moment.
    pub in_flight: usize,
    /// How many wait for a slot.
    pub queued: usize,
    /// The share of the slots that is in use, and of many keys the largest that there is. It is
    /// above 1 for a while where a limit has been lowered.
    pub utilization: f64,
    /// How the partitions stand, by their names.
    pub partitions: Vec<PartitionSnapshot>,
    /// How long calls wait of late, of those that have to, until they have a slot or none comes.
    /// `None` if none ever had to. It is known of all keys together.
    pub queue_wait: Option<LatencySnapshot>,
}

/// A look at one partition.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct PartitionSnapshot {
    /// Its name.
    pub name: String,
    /// How many of the slots belong to it.
    pub slots: usize,
    /// How many calls of its own are in flight, whosever slots they have.
    pub in_flight: usize,
    /// How many calls of its own wait.
    pub queued: usize,
}

impl BulkheadSnapshot {
    pub(crate) fn new(room: &Room, mode: Mode, queue_wait: Option<LatencySnapshot>) -> Self {
        Self {
            mode,
            limit: room.limit(),
            in_flight: room.in_flight(),
            queued: room.queued(),
            utilization: utilization(room),
            partitions: room.partitions().into_iter().map(Into::into).collect(),
            queue_wait,
        }
    }

    /// Takes in what is seen of another key.
    pub(crate) fn add(&mut self, other: &Self) {
        self.in_flight += other.in_flight;
        self.queued += other.queued;
        self.utilization = self.utilization.max(other.utilization);
        for (partition, of_other) in self.partitions.iter_mut().zip(&other.partitions) {
            partition.in_flight += of_other.in_flight;
            partition.queued += of_other.queued;
        }
    }

    /// Takes in the room that all keys share. Who waits for that is not in flight yet.
    pub(crate) fn within(&mut self, all: &Room) {
        self.limit = all.limit();
        self.in_flight = all.in_flight();
        self.queued += all.queued();
        self.utilization = self.utilization.max(utilization(all));
        for (partition, of_all) in self.partitions.iter_mut().zip(all.partitions()) {
            partition.slots = of_all.owned;
            partition.in_flight = of_all.in_flight;
            partition.queued += of_all.queued;
        }
    }
}

impl From<PartitionFigures> for PartitionSnapshot {
    fn from(figures: PartitionFigures) -> Self {
        Self {
            name: figures.name,
            slots: figures.owned,
            in_flight: figures.in_flight,
            queued: figures.queued,
        }
    }
}

fn utilization(room: &Room) -> f64 {
    room.in_flight() as f64 / room.limit() as f64
}
