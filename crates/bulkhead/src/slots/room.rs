use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;

use tokio::time::Instant;

use crate::queue::{Class, Fate};
use crate::sync::{Mutex, MutexGuard, unpoisoned};

use super::counter::Counter;
use super::hall::{Hall, Slots};
use super::partitions::Partitions;
use super::permit::Place;
use super::ticket::Standing;
use super::woken::Woken;
use super::{RoomSettings, Shares, Visitor};

/// The slots of one bulkhead, and who waits for one.
///
/// Nothing here reads the clock: the time comes in as `now`, as a closure where it is not always
/// wanted. What others' code may run in, to wake them or to forget how, is done after the lock is
/// free: it may come back.
#[derive(Debug)]
pub(crate) struct Room {
    counter: Counter,
    limit: AtomicUsize,
    partitions: Partitions,
    hall: Mutex<Hall>,
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

impl Room {
    /// More slots than anybody counts, so that sums of them fit.
    pub(crate) const MOST: usize = 1 << 40;

    pub(crate) fn new(settings: RoomSettings) -> Self {
        let limit = settings.limit.min(Self::MOST);
        let partitions = Partitions::new(settings.stripes);
        let shares = divide(&settings, limit, &partitions);
        Self {
            counter: Counter::new(limit as i64),
            limit: AtomicUsize::new(limit),
            partitions,
            hall: Mutex::new(Hall::new(settings, shares)),
        }
    }

    /// Returns the number of the partition of this name, if there is one.
    pub(crate) fn partition(&self, name: &str) -> Option<u16> {
        self.partitions.find(name)
    }

    /// Returns how many may be in at once.
    pub(crate) fn limit(&self) -> usize {
        self.limit.load(Relaxed)
    }

    /// Returns how many are in: for a while more than the [limit](Self::limit) if that was lowered.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.limit() as i64 - self.counter.free()).unwrap_or(0)
    }

    /// Returns how many wait.
    pub(crate) fn queued(&self) -> usize {
        self.hall().waiters.len()
    }

    /// Returns how the partitions stand, in the order in which they were configured.
    pub(crate) fn partitions(&self) -> Vec<PartitionFigures> {
        let hall = self.hall();
        let all = self.partitions.all();
        all.iter()
            .enumerate()
            .map(|(number, partition)| PartitionFigures {
                name: partition.name.clone(),
                owned: hall.shares.owned(number as u16) as usize,
                in_flight: usize::try_from(partition.taken()).unwrap_or(0),
                queued: hall.waiters.len_of(number as u16),
            })
            .collect()
    }

    /// Changes how many may be in at once. Nobody is put out: if there are more, so many of those
    /// who leave make no room.
    pub(crate) fn resize(&self, limit: usize, now: impl FnOnce() -> Instant) {
        let mut hall = self.hall();
        let settings = RoomSettings {
            limit,
            ..hall.settings.clone()
        };
        self.apply(&mut hall, settings);
        self.hand_over(hall, now);
    }

    /// Changes all settings but the stripes. Who waits does so for as long as he was told.
    pub(crate) fn reconfigure(&self, settings: RoomSettings, now: impl FnOnce() -> Instant) {
        let mut hall = self.hall();
        self.apply(&mut hall, settings);
        self.hand_over(hall, now);
    }

    /// Takes a slot that is free, if one of `class` may have it.
    pub(super) fn take(&self, stripe: u32, class: Class) -> Option<Place> {
        let hall = self.hall();
        self.take_locked(&hall, stripe, class)
    }

    pub(super) fn take_or_wait(
        &self,
        stripe: u32,
        visitor: &Visitor,
        now: impl FnOnce() -> Instant,
    ) -> Standing {
        let mut hall = self.hall();
        if let Some(place) = self.take_locked(&hall, stripe, visitor.class) {
            return Standing::Entered(place);
        }
        let mut woken = Woken::default();
        let standing = hall.join(visitor, self, now(), &mut woken);
        drop(hall);
        woken.wake();
        standing
    }

    /// Gives a slot back.
    pub(super) fn leave(&self, place: Place, now: impl FnOnce() -> Instant) {
        self.count_out(place);
        let mut hall = self.hall();
        self.counter.add(1);
        if hall.waiters.is_empty() {
            return;
        }
        let mut woken = Woken::default();
        hall.freed(self, now(), &mut woken);
        drop(hall);
        woken.wake();
    }

    /// Says how the one stands who waits at `at`.
    pub(super) fn poll_wait(&self, at: u32, stripe: u32, cx: &Context<'_>) -> Standing {
        let mut hall = self.hall();
        let waiter = hall.waiters.get_mut(at);
        if waiter.fate == Fate::Waits {
            let old = waiter.waker.replace(cx.waker().clone());
            drop(hall);
            drop(old);
            return Standing::Waiting { at, until: None };
        }
        let left = hall.leave(at);
        drop(hall);
        match left.fate {
            Fate::Refused(refusal) => Standing::Refused(refusal),
            Fate::Served | Fate::Waits => Standing::Entered(Place {
                stripe,
                partition: left.class.partition,
            }),
        }
    }

    /// Ends the waiting of the one at `at` if his time is over, and says how he stands. Nothing if
    /// he has been served.
    pub(super) fn expire(&self, at: u32, now: Instant) -> Standing {
        let mut woken = Woken::default();
        let mut hall = self.hall();
        let standing = hall.expire(at, now, &mut woken);
        let left = matches!(standing, Standing::Refused(_)).then(|| hall.leave(at));
        drop(hall);
        drop(left);
        woken.wake();
        standing
    }

    /// Leaves the queue, and passes on what may have been granted.
    pub(super) fn abandon(&self, at: u32, now: impl FnOnce() -> Instant) {
        let mut hall = self.hall();
        let left = hall.leave(at);
        if left.fate == Fate::Served {
            let stripe = 0;
            self.count_out(Place {
                stripe,
                partition: left.class.partition,
            });
            self.counter.add(1);
        }
        self.hand_over(hall, now);
    }

    fn take_locked(&self, hall: &Hall, stripe: u32, class: Class) -> Option<Place> {
        let place = Place {
            stripe,
            partition: class.partition,
        };
        let taken = self.counter.take(hall.shares.floor(class.priority));
        taken.then(|| {
            self.count_in(place);
            place
        })
    }

    fn apply(&self, hall: &mut Hall, settings: RoomSettings) {
        let limit = settings.limit.min(Self::MOST);
        let more = limit as i64 - self.limit() as i64;
        hall.shares = divide(&settings, limit, &self.partitions);
        hall.settings = settings;
        self.limit.store(limit, Relaxed);
        self.counter.add(more);
    }

    /// Grants what is free to those who wait, and wakes them.
    fn hand_over(&self, mut hall: MutexGuard<'_, Hall>, now: impl FnOnce() -> Instant) {
        if hall.waiters.is_empty() {
            return;
        }
        let mut woken = Woken::default();
        hall.hand_over(self, now(), &mut woken);
        drop(hall);
        woken.wake();
    }

    fn count_in(&self, place: Place) {
        if let Some(partition) = place.partition {
            self.partitions.took(partition, place.stripe as usize, 1);
        }
    }

    fn count_out(&self, place: Place) {
        if let Some(partition) = place.partition {
            self.partitions.took(partition, place.stripe as usize, -1);
        }
    }

    fn hall(&self) -> MutexGuard<'_, Hall> {
        unpoisoned(self.hall.lock())
    }
}

/// Divides up the slots by `settings`, and gives numbers to partitions that are new.
fn divide(settings: &RoomSettings, limit: usize, partitions: &Partitions) -> Shares {
    let names = settings.partitions.iter().map(|(name, _)| name.as_str());
    partitions.add(names);
    let all = partitions.all();
    let share = |name: &str| {
        let mut shares = settings.partitions.iter();
        shares
            .find(|(other, _)| other == name)
            .map_or(0.0, |(_, share)| *share)
    };
    Shares::new(limit, settings, all.iter().map(|it| share(&it.name)))
}

impl Slots for Room {
    fn grant(&self, class: Class, floor: i64) -> bool {
        let granted = self.counter.take(floor);
        if granted {
            // Nobody knows yet on which stripe he waits.
            self.count_in(Place {
                stripe: 0,
                partition: class.partition,
            });
        }
        granted
    }

    fn free(&self) -> i64 {
        self.counter.free()
    }

    fn in_flight(&self) -> usize {
        self.in_flight()
    }

    fn taken_by(&self, partition: u16) -> i64 {
        self.partitions.taken_by(partition)
    }
}
