use std::sync::Arc;
use std::sync::atomic::AtomicI64;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwap;
use watertight_core::Padded;

/// The partitions of a room, by their numbers, and how many slots each has taken.
///
/// A partition that is no longer configured keeps its number, for the calls that it has in flight.
#[derive(Debug)]
pub(super) struct Partitions {
    all: ArcSwap<Vec<Arc<Partition>>>,
    stripes: usize,
}

#[derive(Debug)]
pub(super) struct Partition {
    pub(super) name: String,
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
        let mut all = self.all.load().to_vec();
        for name in names {
            if !all.iter().any(|partition| partition.name == name) {
                all.push(Arc::new(Partition {
                    name: name.to_owned(),
                    taken: (0..self.stripes).map(|_| Padded::default()).collect(),
                }));
            }
        }
        self.all.store(Arc::new(all));
    }

    pub(super) fn find(&self, name: &str) -> Option<u16> {
        let all = self.all.load();
        let number = all.iter().position(|partition| partition.name == name)?;
        u16::try_from(number).ok()
    }

    pub(super) fn all(&self) -> Arc<Vec<Arc<Partition>>> {
        self.all.load_full()
    }

    pub(super) fn took(&self, partition: u16, stripe: usize, slots: i64) {
        self.all.load()[usize::from(partition)].taken[stripe].fetch_add(slots, Relaxed);
    }

    /// Returns how many slots a partition has taken.
    pub(super) fn taken_by(&self, partition: u16) -> i64 {
        self.all.load()[usize::from(partition)].taken()
    }
}

impl Partition {
    pub(super) fn taken(&self) -> i64 {
        self.taken.iter().map(|stripe| stripe.load(Relaxed)).sum()
    }
}
