use watertight_core::stripe_count;

use crate::BulkheadConfig;
use crate::slots::{Room, RoomSettings};

/// The config in force, with what it takes to make rooms that agree.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) config: BulkheadConfig,
    /// All partitions that there ever were. A room numbers them in this order, so that a partition
    /// has the same number in all rooms, whatever they were made by.
    partitions: Vec<String>,
}

impl Settings {
    pub(crate) fn new(config: BulkheadConfig) -> Self {
        let partitions = config.partitions.keys().cloned().collect();
        Self { config, partitions }
    }

    pub(crate) fn replace(&mut self, config: BulkheadConfig) {
        for name in config.partitions.keys() {
            if !self.partitions.contains(name) {
                self.partitions.push(name.clone());
            }
        }
        self.config = config;
    }

    /// Returns what a room with so many stripes is made from.
    pub(crate) fn room(&self, stripes: usize) -> RoomSettings {
        let config = &self.config;
        let share = |name| config.partitions.get(name).copied().unwrap_or(0.0);
        let names = self.partitions.iter();
        RoomSettings {
            limit: config.limit.initial(),
            max_queue: config.max_queue,
            max_wait: config.max_wait,
            order: config.order,
            reserves: config.reserve.clone().into_iter().collect(),
            partitions: names.map(|name| (name.clone(), share(name))).collect(),
            stripes,
        }
    }

    /// Returns what the room of all keys together is made from.
    pub(crate) fn room_of_all(&self) -> RoomSettings {
        RoomSettings {
            limit: self.config.total.unwrap_or(Room::MOST),
            ..self.room(stripe_count())
        }
    }
}
