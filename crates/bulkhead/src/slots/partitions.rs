use std::iter;
use std::sync::OnceLock;

use watertight_core::Counters;

use crate::queue::Waiters;

use super::Shares;

/// The partitions of a room, by their numbers, and how many slots each has taken.
///
/// A partition that is no longer configured keeps its number, for the calls that it has in flight.
/// So each can lead to the next for good, and no call locks anything to find its own.
#[derive(Debug)]
pub(super) struct Partitions {
    first: Link,
    stripes: usize,
}

type Link = OnceLock<Box<Partition>>;

/// How one partition stands.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct PartitionFigures {
    pub(crate) name: String,
    /// How many slots belong to it.
    pub(crate) owned: usize,
    pub(crate) in_flight: usize,
    pub(crate) queued: usize,
}

#[derive(Debug)]
struct Partition {
    name: String,
    /// How many slots it has, as the threads count that take them and give them back.
    taken: Counters<1>,
    next: Link,
}

impl Partitions {
    pub(super) const fn new(stripes: usize) -> Self {
        Self {
            first: OnceLock::new(),
            stripes,
        }
    }

    /// Adds those of `names` that are new.
    pub(super) fn add<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            if self.find(name).is_some() {
                continue;
            }
            let last = self.iter().last();
            let link = last.map_or(&self.first, |last| &last.next);
            link.get_or_init(|| Box::new(Partition::new(name, self.stripes)));
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<u16> {
        let number = self.iter().position(|partition| partition.name == name)?;
        u16::try_from(number).ok()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let names = self.iter().map(|partition| partition.name.clone());
        names.collect()
    }

    pub(super) fn figures(&self, shares: &Shares, waiters: &Waiters) -> Vec<PartitionFigures> {
        let figures = (0..)
            .zip(self.iter())
            .map(|(number, partition)| PartitionFigures {
                name: partition.name.clone(),
                owned: shares.owned(number) as usize,
                in_flight: usize::try_from(partition.taken()).unwrap_or(0),
                queued: waiters.len_of(number),
            });
        figures.collect()
    }

    /// Counts a slot that a partition took.
    pub(super) fn took(&self, partition: u16) {
        self.count(partition, 1);
    }

    /// Counts a slot that a partition gave back.
    pub(super) fn gave(&self, partition: u16) {
        self.count(partition, -1);
    }

    fn count(&self, partition: u16, slots: i64) {
        if let Some(Partition { taken, .. }) = self.get(partition) {
            taken.add(0, slots as u64);
        }
    }

    /// Returns how many slots a partition has taken.
    pub(super) fn taken_by(&self, partition: u16) -> i64 {
        self.get(partition).map_or(0, Partition::taken)
    }

    fn get(&self, partition: u16) -> Option<&Partition> {
        self.iter().nth(partition.into())
    }

    fn iter(&self) -> impl Iterator<Item = &Partition> {
        let boxes = iter::successors(self.first.get(), |partition| partition.next.get());
        boxes.map(|partition| &**partition)
    }
}

impl Drop for Partitions {
    /// Each would drop the next, however many there are, within its own drop.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut partition) = next {
            next = partition.next.take();
        }
    }
}

impl Partition {
    fn new(name: &str, stripes: usize) -> Self {
        Self {
            name: name.to_owned(),
            taken: Counters::with_stripes(stripes),
            next: OnceLock::new(),
        }
    }

    fn taken(&self) -> i64 {
        self.taken.total(0) as i64
    }
}
