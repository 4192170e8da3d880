use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;
use watertight_core::Padded;

use crate::queue::Waiters;

use super::Shares;

/// The partitions of a room, by their numbers, and how many slots each has taken.
///
/// A partition that is no longer configured keeps its number, for the calls that it has in flight.
#[derive(Debug)]
pub(super) struct Partitions {
    all: ArcSwap<Vec<Arc<Partition>>>,
    stripes: usize,
}

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
    /// A stripe may be below zero: a waiter's slot may be taken for it on one stripe and counted
    /// on another.
    taken: Box<[Padded<AtomicI64>]>,
}

impl Partitions {
    pub(super) fn new(stripes: usize) -> Self {
        Self {
            all: ArcSwap::default(),
            stripes,
        }
    }

    /// Adds those of `names` that are new.
    pub(super) fn add<'a>(&self, names: impl Iterator<Item = &'a str>) {
        for name in names {
            if self.find(name).is_some() {
                continue;
            }
            let mut all = self.all.load().to_vec();
            all.push(Arc::new(Partition {
                name: name.to_owned(),
                taken: (0..self.stripes).map(|_| Padded::default()).collect(),
            }));
            self.all.store(Arc::new(all));
        }
    }

    pub(super) fn find(&self, name: &str) -> Option<u16> {
        let all = self.all.load();
        let number = all.iter().position(|partition| partition.name == name)?;
        u16::try_from(number).ok()
    }

    pub(super) fn names(&self) -> Vec<String> {
        let all = self.all.load();
        all.iter().map(|partition| partition.name.clone()).collect()
    }

    pub(super) fn figures(&self, shares: &Shares, waiters: &Waiters) -> Vec<PartitionFigures> {
        let all = self.all.load();
        let figures = (0..)
            .zip(all.iter())
            .map(|(number, partition)| PartitionFigures {
                name: partition.name.clone(),
                owned: shares.owned(number) as usize,
                in_flight: usize::try_from(partition.taken()).unwrap_or(0),
                queued: waiters.len_of(number),
            });
        figures.collect()
    }

    /// Counts slots that a partition took, or gave back.
    pub(super) fn took(&self, partition: u16, stripe: usize, slots: i64) {
        let taken = &self.all.load()[usize::from(partition)].taken;
        taken[stripe & (taken.len() - 1)].fetch_add(slots, Relaxed);
    }

    /// Returns how many slots a partition has taken.
    pub(super) fn taken_by(&self, partition: u16) -> i64 {
        self.all.load()[usize::from(partition)].taken()
    }
}

impl Partition {
    fn taken(&self) -> i64 {
        self.taken.iter().map(|stripe| stripe.load(Relaxed)).sum()
    }
}
