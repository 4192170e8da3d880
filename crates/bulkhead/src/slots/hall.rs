use std::cmp::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::Reason;

use crate::Order;
use crate::queue::{Class, CoDel, Drain, Fate, Waiter, Waiters};

use super::claim::{Claim, Within};
use super::ticket::Standing;
use super::woken::Woken;
use super::{Refusal, RoomSettings, Shares, Visitor};

/// Where those wait who found no slot: all of a room that is under its lock.
///
/// Whenever the lock is free nobody waits who could have a slot that is free. So who comes and
/// finds one passes nobody.
#[derive(Debug)]
pub(super) struct Hall {
    pub(super) settings: RoomSettings,
    pub(super) shares: Shares,
    pub(super) waiters: Waiters,
    codel: CoDel,
    drain: Drain,
}

const TIMED_OUT: Refusal = Refusal::new(Reason::QueueTimeout, None);
const TOO_LATE: Refusal = Refusal::new(Reason::DeadlineExceeded, None);

/// The slots, as the hall sees them while somebody waits: nobody takes one without the lock.
pub(super) trait Slots {
    /// Takes a slot that is free for one of `class`.
    fn grant(&self, class: Class);
    /// Returns how many are free.
    fn free(&self) -> i64;
    fn in_flight(&self) -> usize;
    /// How many slots a partition has taken.
    fn taken_by(&self, partition: u16) -> i64;
}

impl Hall {
    pub(super) fn new(settings: RoomSettings, shares: Shares) -> Self {
        Self {
            settings,
            shares,
            waiters: Waiters::default(),
            codel: CoDel::new(),
            drain: Drain::default(),
        }
    }

    /// Lets a visitor wait who found no slot, or refuses him.
    pub(super) fn join(
        &mut self,
        visitor: &Visitor,
        slots: &impl Slots,
        now: Instant,
        woken: &mut Woken,
    ) -> Standing {
        self.give_up(now, woken);
        let full = Refusal::new(Reason::BulkheadFull, self.next_slot(slots, now));
        let is_full = self.waiters.len() >= self.settings.max_queue;
        let displaced = if is_full {
            let Some(at) = self.gives_way_to(visitor.class, slots, now) else {
                return Standing::Refused(full);
            };
            Some(at)
        } else {
            None
        };
        if let Some(refusal) = self.finds_too_late(visitor, slots, now) {
            return Standing::Refused(refusal);
        }
        if let Some(at) = displaced {
            self.refuse(at, full, woken);
        }
        self.drain.joined(now);
        let since = visitor.since.unwrap_or(now);
        let at = self.waiters.join(Waiter {
            class: visitor.class,
            since: now,
            until: since.checked_add(self.settings.max_wait),
            deadline: visitor.deadline,
            waker: None,
            fate: Fate::Waits,
        });
        let until = self.expires_at(at, now);
        Standing::Waiting { at, until }
    }

    /// Takes note that a call has ended, and passes its slot on.
    pub(super) fn freed(&mut self, slots: &impl Slots, now: Instant, woken: &mut Woken) {
        self.drain.freed(slots.in_flight() + 1, now);
        self.hand_over(slots, now, woken);
    }

    /// Grants the slots that are free to those who may have them. Returns how many are left, which
    /// nobody may have who waits: there may be more of them already, but no fewer.
    pub(super) fn hand_over(&mut self, slots: &impl Slots, now: Instant, woken: &mut Woken) -> i64 {
        let left = loop {
            let free = slots.free();
            let Some(at) = self.next(free, slots, now) else {
                break free;
            };
            let waiter = self.waiters.get(at);
            let fate = if waiter.is_late(now) {
                Fate::Refused(TOO_LATE)
            } else {
                slots.grant(waiter.class);
                Fate::Served
            };
            woken.add(self.waiters.settle(at, fate).waker.take());
        };
        self.look_if_drained();
        self.give_up(now, woken);
        left
    }

    /// Ends the waiting of the one at `at` if its time is over, and says how he stands.
    pub(super) fn expire(&mut self, at: u32, now: Instant, woken: &mut Woken) -> Standing {
        self.give_up(now, woken);
        let waiter = self.waiters.get(at);
        let is_over = waiter.until.is_some_and(|until| until <= now);
        match waiter.fate {
            Fate::Refused(refusal) => Standing::Refused(refusal),
            Fate::Waits if waiter.is_late(now) => Standing::Refused(TOO_LATE),
            Fate::Waits if is_over => Standing::Refused(TIMED_OUT),
            Fate::Waits | Fate::Served => Standing::Waiting {
                at,
                until: self.expires_at(at, now),
            },
        }
    }

    /// Forgets the one at `at`, and returns what had become of him.
    pub(super) fn leave(&mut self, at: u32) -> Waiter {
        let waiter = self.waiters.leave(at);
        self.look_if_drained();
        waiter
    }

    /// Returns who is next of those who may have a slot that is free: one whose partition has not
    /// got its share if there is one.
    fn next(&mut self, free: i64, slots: &impl Slots, now: Instant) -> Option<u32> {
        if free <= 0 || self.waiters.is_empty() {
            return None;
        }
        let order = self.order(now);
        let may = |class: Class| free > self.shares.floor(class.priority);
        let is_owed = |class| self.is_owed(class, 0, slots);
        let owner = self
            .waiters
            .next(order, |class| may(class) && is_owed(class));
        owner.or_else(|| self.waiters.next(order, may))
    }

    /// Whether the partition of `class` has not got its share, even with so `many` slots more.
    fn is_owed(&self, class: Class, many: usize, slots: &impl Slots) -> bool {
        class.partition.is_some_and(|number| {
            slots.taken_by(number) + (many as i64) < self.shares.owned(number)
        })
    }

    /// Returns the order that is in force now.
    fn order(&mut self, now: Instant) -> Order {
        let order = self.settings.order;
        if order == Order::CoDel && self.stands(now) {
            return Order::Lifo;
        }
        order
    }

    fn stands(&mut self, now: Instant) -> bool {
        let oldest = self.waiters.oldest();
        let since = oldest.map(|at| self.waiters.get(at).since);
        self.codel.look(since, now)
    }

    /// Refuses those who have waited for too long in a queue that stands. The last one stays: if
    /// nobody else comes, a slot that comes free is his.
    fn give_up(&mut self, now: Instant, woken: &mut Woken) {
        if self.settings.order != Order::CoDel || !self.stands(now) {
            return;
        }
        while self.waiters.len() > 1
            && let Some(at) = self.waiters.oldest()
            && self.codel.gives_up(self.waiters.get(at).since, now)
        {
            self.refuse(at, TIMED_OUT, woken);
        }
    }

    /// Ends the waiting of the one at `at`, who is told when he asks next.
    fn refuse(&mut self, at: u32, refusal: Refusal, woken: &mut Woken) {
        let waiter = self.waiters.settle(at, Fate::Refused(refusal));
        woken.add(waiter.waker.take());
    }

    /// Returns who of a full queue gives his place to one of `class` who comes now: the one with the
    /// weakest claim, unless that of who comes is no better. Of equal ones it is who would be served
    /// last.
    fn gives_way_to(&mut self, class: Class, slots: &impl Slots, now: Instant) -> Option<u32> {
        // Somebody may still wait where nobody is let wait any more.
        if self.settings.max_queue == 0 {
            return None;
        }
        let order = self.order(now);
        let claim = |other: Class| {
            // Who comes is one more of his partition, whoever of it gives way.
            let more = usize::from(other.partition == class.partition);
            self.claim(other, more, order, slots)
        };
        let weakest = self.waiters.last(order, claim)?;
        let of_weakest = claim(self.waiters.get(weakest).class);
        let gives_way = match of_weakest.cmp(&claim(class)) {
            Ordering::Less => false,
            Ordering::Equal => order == Order::Lifo,
            Ordering::Greater => true,
        };
        gives_way.then_some(weakest)
    }

    /// Returns the claim of the last of `class` who waits, with so `many` more of its partition.
    fn claim(&self, class: Class, many: usize, order: Order, slots: &impl Slots) -> Claim {
        let within = class.partition.map_or(Within::Nothing, |number| {
            let waiting = (self.waiters.len_of(number) + many) as i64;
            self.shares.within(number, slots.taken_by(number) + waiting)
        });
        // Without an order of priorities, they say whom a reserve keeps waiting.
        let rank = match order {
            Order::Priority => class.priority as i64,
            Order::Fifo | Order::Lifo | Order::CoDel => self.shares.floor(class.priority),
        };
        Claim { within, rank }
    }

    fn look_if_drained(&mut self) {
        if self.waiters.is_empty() {
            self.drain.drained();
        }
    }

    /// Returns how long it takes until the next slot comes free, if that is known.
    fn next_slot(&self, slots: &impl Slots, now: Instant) -> Option<Duration> {
        self.drain.time_for(1, slots.in_flight(), now)
    }

    /// Returns the refusal of one who comes and cannot be served before his deadline.
    fn finds_too_late(
        &mut self,
        visitor: &Visitor,
        slots: &impl Slots,
        now: Instant,
    ) -> Option<Refusal> {
        let left = visitor.deadline?.saturating_duration_since(now);
        let needed = self.time_needed(visitor.class, slots, now);
        let is_too_long = needed.is_some_and(|needed| needed > left);
        if left.is_zero() || is_too_long && !self.finds_out(slots.in_flight(), now) {
            let too_long = needed.map(|needed| needed.saturating_sub(left));
            return Some(Refusal::new(Reason::DeadlineExceeded, too_long));
        }
        None
    }

    /// Whether one who comes is to wait in any case, because nobody knows any more how long it takes.
    fn finds_out(&mut self, in_flight: usize, now: Instant) -> bool {
        self.waiters.is_empty() && self.drain.doubt(in_flight, now)
    }

    /// Returns how long one who comes now will wait and then take, if that is known.
    fn time_needed(&mut self, class: Class, slots: &impl Slots, now: Instant) -> Option<Duration> {
        let order = self.order(now);
        let floor = self.shares.floor(class.priority);
        let of_its_own = class.partition.map_or(0, |it| self.waiters.len_of(it));
        let is_owed = self.is_owed(class, of_its_own, slots);
        let ahead = self.waiters.ahead_of(class, order, |other| {
            let may = self.shares.floor(other.priority) <= floor;
            may && (!is_owed || self.is_owed(other, 0, slots))
        });
        // More than one has to end where a slot is reserved, or the limit was lowered.
        let first = (floor + 1 - slots.free()).max(1) as usize;
        // With as many as are in flight it is how long a call takes.
        let in_flight = slots.in_flight();
        self.drain
            .time_for(ahead + first + in_flight, in_flight, now)
    }

    /// Returns when the one at `at` is to be looked at again.
    fn expires_at(&self, at: u32, now: Instant) -> Option<Instant> {
        let waiter = self.waiters.get(at);
        let look_again = (self.settings.order == Order::CoDel)
            .then(|| self.codel.look_again(waiter.since))
            .filter(|again| *again > now);
        [waiter.until, waiter.deadline, look_again]
            .into_iter()
            .flatten()
            .min()
    }
}
