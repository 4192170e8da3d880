use std::mem;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Context;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Reason;

use crate::queue::{Class, Fate};
use crate::sync::{Mutex, unpoisoned};

use super::counter::{Counter, Give, Take};
use super::floors::Floors;
use super::hall::{Hall, Slots};
use super::locked::Locked;
use super::partitions::{PartitionFigures, Partitions};
use super::permit::Place;
use super::ticket::Standing;
use super::{Refusal, RoomSettings, Shares, Visitor, Woken};

/// The slots of one bulkhead, and who waits for one.
///
/// Nothing here reads the clock: the time comes in as `now`, as a closure where it is not always
/// wanted. While there are slots no call takes a lock.
#[derive(Debug)]
pub(crate) struct Room {
    counter: Counter,
    limit: AtomicUsize,
    /// 0 where nobody waits.
    max_queue: AtomicUsize,
    floors: Floors,
    partitions: Partitions,
    hall: Mutex<Hall>,
}

impl Room {
    /// More slots than anybody counts, so that sums of them fit.
    pub(crate) const MOST: usize = 1 << 40;

    pub(crate) fn new(settings: RoomSettings) -> Self {
        let limit = settings.limit.min(Self::MOST);
        let partitions = Partitions::new(settings.stripes);
        let shares = divide(&settings, limit, &partitions);
        Self {
            counter: Counter::new(limit as i64, shares.reserved(), settings.stripes),
            limit: AtomicUsize::new(limit),
            max_queue: AtomicUsize::new(settings.max_queue),
            floors: Floors::new(&shares),
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
    /// For a moment it may be some off, while slots are on their way to where they are needed.
    pub(crate) fn in_flight(&self) -> usize {
        usize::try_from(self.limit() as i64 - self.counter.free()).unwrap_or(0)
    }

    /// Returns how long anybody may wait.
    pub(crate) fn max_wait(&self) -> Duration {
        self.lock().settings.max_wait
    }

    /// Returns how many wait.
    pub(crate) fn queued(&self) -> usize {
        self.lock().waiters.len()
    }

    /// Returns how the partitions stand, in the order in which they were configured.
    pub(crate) fn partitions(&self) -> Vec<PartitionFigures> {
        let hall = self.lock();
        self.partitions.figures(&hall.shares, &hall.waiters)
    }

    /// Changes how many may be in at once. Nobody is put out: if there are more, so many of those
    /// who leave make no room.
    pub(crate) fn resize(&self, limit: usize, now: impl FnOnce() -> Instant) -> Woken {
        let mut hall = self.lock();
        hall.settings.limit = limit;
        self.apply(hall, now)
    }

    /// Lets all pass who wait, at once. There are more in than the limit until they have left.
    pub(crate) fn let_pass(&self, now: impl FnOnce() -> Instant) -> Woken {
        let mut hall = self.lock();
        let limit = mem::replace(&mut hall.settings.limit, Self::MOST);
        let woken = self.apply(hall, now);
        // Nobody waits any more whom it could wake.
        drop(self.resize(limit, Instant::now));
        woken
    }

    /// Changes all settings but the stripes. Who waits does so for as long as he was told.
    pub(crate) fn reconfigure(
        &self,
        settings: RoomSettings,
        now: impl FnOnce() -> Instant,
    ) -> Woken {
        let mut hall = self.lock();
        hall.settings = settings;
        self.apply(hall, now)
    }

    /// Takes a slot that is free, if one of `class` may have it and nobody waits.
    #[inline]
    pub(crate) fn take(&self, stripe: u32, class: Class) -> Option<Place> {
        let floor = || self.floors.get(class.priority);
        match self.counter.take(stripe as usize, floor) {
            Take::Taken => Some(self.count_in(stripe, class)),
            Take::Ask => self.take_locked(stripe, class),
            Take::None | Take::Held => None,
        }
    }

    #[cold]
    fn take_locked(&self, stripe: u32, class: Class) -> Option<Place> {
        let hall = self.lock();
        let floor = hall.shares.floor(class.priority);
        let taken = hall.waiters.is_empty() && self.counter.take_any(stripe as usize, floor);
        taken.then(|| self.count_in(stripe, class))
    }

    /// Takes a slot, or a place in the queue.
    pub(super) fn take_or_wait(
        &self,
        stripe: u32,
        visitor: &Visitor,
        now: impl FnOnce() -> Instant,
    ) -> Standing {
        let class = visitor.class;
        let floor = || self.floors.get(class.priority);
        match self.counter.take(stripe as usize, floor) {
            Take::Taken => Standing::Entered(self.count_in(stripe, class)),
            Take::None if self.max_queue.load(Relaxed) == 0 => {
                Standing::Refused(Refusal::new(Reason::BulkheadFull, None))
            }
            Take::None | Take::Ask | Take::Held => self.ask(stripe, visitor, now),
        }
    }

    #[cold]
    fn ask(&self, stripe: u32, visitor: &Visitor, now: impl FnOnce() -> Instant) -> Standing {
        let class = visitor.class;
        let mut locked = self.lock();
        let (hall, woken) = locked.parts();
        let floor = hall.shares.floor(class.priority);
        if hall.waiters.is_empty() {
            loop {
                if self.counter.take_any(stripe as usize, floor) {
                    return Standing::Entered(self.count_in(stripe, class));
                }
                if hall.settings.max_queue == 0 {
                    return Standing::Refused(Refusal::new(Reason::BulkheadFull, None));
                }
                if self.counter.hold(floor) {
                    return hall.join(visitor, self, now(), woken);
                }
            }
        }
        let now = now();
        // Somebody may be on his way to pass on what he gave back.
        let left = hall.hand_over(self, now, woken);
        if left > floor && self.counter.take_any(stripe as usize, floor) {
            return Standing::Entered(self.count_in(stripe, class));
        }
        hall.join(visitor, self, now, woken)
    }

    /// Gives a slot back.
    #[inline]
    pub(crate) fn leave(&self, place: Place, now: impl FnOnce() -> Instant) {
        self.count_out(place);
        match self.counter.give(place.stripe as usize) {
            Give::Done => {}
            given => self.settle(given, place.stripe, now),
        }
    }

    #[cold]
    fn settle(&self, given: Give, stripe: u32, now: impl FnOnce() -> Instant) {
        let mut locked = self.lock();
        if given == Give::Collect {
            self.counter.collect(stripe as usize);
        }
        let (hall, woken) = locked.parts();
        if !hall.waiters.is_empty() {
            hall.freed(self, now(), woken);
        }
    }

    /// Says how the one stands who waits at `at`.
    pub(super) fn poll_wait(&self, at: u32, stripe: u32, cx: &Context<'_>) -> Standing {
        let mut locked = self.lock();
        let (hall, woken) = locked.parts();
        let waiter = hall.waiters.get_mut(at);
        if waiter.fate == Fate::Waits {
            let known = waiter.waker.as_ref();
            if !known.is_some_and(|waker| waker.will_wake(cx.waker())) {
                woken.forget(waiter.waker.replace(cx.waker().clone()));
            }
            return Standing::Waiting { at, until: None };
        }
        let left = hall.leave(at);
        match left.fate {
            Fate::Refused(refusal) => Standing::Refused(refusal),
            Fate::Served | Fate::Waits => Standing::Entered(Place {
                stripe,
                partition: left.class.partition,
            }),
        }
    }

    /// Ends the waiting of the one at `at` if his time is over, and says how he stands.
    pub(super) fn expire(&self, at: u32, now: Instant) -> Standing {
        let mut locked = self.lock();
        let (hall, woken) = locked.parts();
        let standing = hall.expire(at, now, woken);
        if let Standing::Refused(_) = standing {
            woken.forget(hall.leave(at).waker);
        }
        standing
    }

    /// Leaves the queue, and passes on what may have been granted.
    pub(super) fn abandon(&self, at: u32, stripe: u32, now: impl FnOnce() -> Instant) {
        let mut locked = self.lock();
        let (hall, woken) = locked.parts();
        let left = hall.leave(at);
        woken.forget(left.waker);
        if left.fate != Fate::Served {
            return;
        }
        self.count_out(Place {
            stripe,
            partition: left.class.partition,
        });
        let given = self.counter.give(stripe as usize);
        if given == Give::Collect {
            self.counter.collect(stripe as usize);
        }
        if !hall.waiters.is_empty() {
            hall.hand_over(self, now(), woken);
        }
    }

    /// Puts changed settings into force, and hands over what they make free. Who changes them may
    /// hold other locks: it is for him to have those woken who got a slot.
    fn apply(&self, mut locked: Locked<'_>, now: impl FnOnce() -> Instant) -> Woken {
        let (hall, woken) = locked.parts();
        let limit = hall.settings.limit.min(Self::MOST);
        hall.shares = divide(&hall.settings, limit, &self.partitions);
        self.floors.set(&hall.shares);
        self.max_queue.store(hall.settings.max_queue, Relaxed);
        let more = limit as i64 - self.limit() as i64;
        self.limit.store(limit, Relaxed);
        self.counter.resize(more, hall.shares.reserved());
        if !hall.waiters.is_empty() {
            hall.hand_over(self, now(), woken);
        }
        mem::take(woken)
    }

    #[inline]
    fn count_in(&self, stripe: u32, class: Class) -> Place {
        if let Some(partition) = class.partition {
            self.partitions.took(partition);
        }
        Place {
            stripe,
            partition: class.partition,
        }
    }

    #[inline]
    fn count_out(&self, place: Place) {
        if let Some(partition) = place.partition {
            self.partitions.gave(partition);
        }
    }

    fn lock(&self) -> Locked<'_> {
        Locked::new(unpoisoned(self.hall.lock()), &self.counter)
    }
}

/// Divides up the slots by `settings`, and gives numbers to partitions that are new.
fn divide(settings: &RoomSettings, limit: usize, partitions: &Partitions) -> Shares {
    partitions.add(settings.partitions.iter().map(|(name, _)| name.as_str()));
    Shares::new(limit, settings, &partitions.names())
}

impl Slots for Room {
    fn grant(&self, class: Class) {
        self.counter.grant();
        // On which stripe he waits makes no difference to the sum.
        self.count_in(0, class);
    }

    fn free(&self) -> i64 {
        self.counter.in_centre()
    }

    fn in_flight(&self) -> usize {
        self.in_flight()
    }

    fn taken_by(&self, partition: u16) -> i64 {
        self.partitions.taken_by(partition)
    }
}
