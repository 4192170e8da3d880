use std::iter;
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use super::pending::Pending;
use super::run::FailureRun;
use super::slot::{Content, Head, Laps, Slot};
use super::standing::{Record, Recorded, Run, Standing, THOUSAND};
use super::sync::{AtomicI64, AtomicU32, AtomicU64};

/// The last calls.
///
/// A record moves the head on past all successes that are pending and past itself, in one step.
/// What it has passed is its own to write. So no success is lost or counted twice, and what a
/// thread has put by comes before what it then records.
///
/// The totals follow the slots: whoever changes a slot adds the difference. Between the two they
/// differ, but never for longer than a record takes.
#[derive(Debug)]
pub(super) struct Ring {
    generation: AtomicU32,
    head: AtomicU64,
    run: FailureRun,
    /// In thousandths.
    weight: AtomicI64,
    slow: AtomicI64,
    laps: Laps,
    slots: Box<[AtomicU64]>,
}

impl Ring {
    pub(super) fn new(size: u32, pending: &Pending, generation: u32) -> Self {
        let empty = Slot {
            generation,
            lap: 0,
            content: Content::default(),
        };
        Self {
            generation: AtomicU32::new(generation),
            head: AtomicU64::new(Head::start(pending, generation).bits()),
            run: FailureRun::new(generation),
            weight: AtomicI64::new(0),
            slow: AtomicI64::new(0),
            laps: Laps::new(size),
            slots: iter::repeat_with(|| AtomicU64::new(empty.bits()))
                .take(size as usize)
                .collect(),
        }
    }

    /// Empties the ring. Records of earlier generations that are under way find that the head, the
    /// run or their slot is not theirs any more.
    pub(super) fn begin(&self, generation: u32, pending: &Pending) {
        self.generation.store(generation, Release);
        for slot in &self.slots {
            let empty = Slot {
                generation,
                lap: 0,
                content: Content::default(),
            };
            let old = slot.swap(empty.bits(), AcqRel);
            self.count(Slot::from_bits(old).content, Content::default());
        }
        self.run.begin(generation);
        self.head
            .swap(Head::start(pending, generation).bits(), AcqRel);
    }

    pub(super) fn record(&self, generation: u32, record: &Record, pending: &Pending) -> Recorded {
        if self.generation.load(Acquire) != generation {
            return Recorded::Stale;
        }
        let breaks = record.run == Run::Break;
        let Some((mut position, successes)) = self.claim(generation, pending, breaks, 1) else {
            return Recorded::Stale;
        };

        for _ in 0..successes {
            self.put(generation, position, Content::default());
            position = self.laps.after(position, 1);
        }
        let content = Content {
            weight: record.thousandths(),
            slow: record.slow,
        };
        if self.put(generation, position, content) && !content.is_nothing() {
            self.take_back_if_passed(generation, position, content);
        }
        if record.run == Run::Extend {
            self.run.extend(generation);
        }
        if self.generation.load(Acquire) != generation {
            return Recorded::Stale;
        }
        Recorded::Standing(self.standing())
    }

    /// Takes in what is pending, and reads.
    pub(super) fn drained(&self, pending: &Pending) -> Standing {
        let generation = self.generation.load(Acquire);
        if let Some((mut position, successes)) = self.claim(generation, pending, false, 0) {
            for _ in 0..successes {
                self.put(generation, position, Content::default());
                position = self.laps.after(position, 1);
            }
        }
        self.standing()
    }

    fn standing(&self) -> Standing {
        let head = Head::from_bits(self.head.load(Acquire));
        // While a record is under way a total may be less than nothing.
        let weight = self.weight.load(Acquire).max(0);
        Standing {
            calls: head.position.min(self.slots.len() as u64),
            failures: weight as f64 / THOUSAND,
            slow: self.slow.load(Acquire).max(0) as u64,
            consecutive_failures: self.run.count(),
        }
    }

    /// Moves the head on past the successes that are pending and `records` more. Returns where it
    /// was, and how many successes there are to write; more than fill the ring are as good as just
    /// so many.
    ///
    /// The run ends first. So nobody can see the head moved on past a success, add a failure to
    /// the run, and then have it ended. And the run is seen before the head is: a run that has been
    /// begun since by others who moved the head on is not ended for a success which they have
    /// passed.
    fn claim(
        &self,
        generation: u32,
        pending: &Pending,
        breaks: bool,
        records: u64,
    ) -> Option<(u64, u64)> {
        loop {
            let seen = self.run.see();
            let bits = self.head.load(Acquire);
            let head = Head::from_bits(bits);
            if head.generation != generation as u16 || !seen.is_of(generation) {
                return None;
            }
            // Read after the head, it is no less than the sum that is in there.
            let sum = pending.sum(generation);
            let missing = head.missing(sum);
            if (breaks || missing > 0) && !self.run.end(seen) {
                continue;
            }

            let successes = missing.min(self.slots.len() as u64);
            let moved = Head {
                sum,
                position: self
                    .laps
                    .after(self.laps.after(head.position, successes), records),
                ..head
            };
            let claimed = self
                .head
                .compare_exchange(bits, moved.bits(), AcqRel, Acquire);
            if claimed.is_ok() {
                return Some((head.position, successes));
            }
        }
    }

    /// Writes `content` at `position`, unless the slot has been written for a later one.
    fn put(&self, generation: u32, position: u64, content: Content) -> bool {
        let slot = &self.slots[self.laps.index(position)];
        let mine = Slot {
            generation,
            lap: self.laps.lap(position),
            content,
        };
        let mut bits = slot.load(Acquire);
        loop {
            let old = Slot::from_bits(bits);
            if old.generation != generation {
                return false;
            }
            if old.content.is_nothing() {
                if content.is_nothing() {
                    return true;
                }
            } else if self.laps.is_later(old.lap, mine.lap) {
                return false;
            }
            match slot.compare_exchange(bits, mine.bits(), AcqRel, Acquire) {
                Ok(_) => {
                    self.count(old.content, content);
                    return true;
                }
                Err(now) => bits = now,
            }
        }
    }

    /// Takes `content` out of its slot if the head is a lap further already. A success that
    /// should have displaced it has found the slot still empty, then, and left it so.
    ///
    /// The head is read by writing it. So whoever moves it on later sees what is in the slot.
    fn take_back_if_passed(&self, generation: u32, position: u64, content: Content) {
        let head = Head::from_bits(self.head.fetch_add(0, AcqRel));
        if head.generation != generation as u16
            || self.laps.distance(position, head.position) <= self.slots.len() as u64
        {
            return;
        }
        let mine = Slot {
            generation,
            lap: self.laps.lap(position),
            content,
        };
        let nothing = Slot {
            content: Content::default(),
            ..mine
        };
        let slot = &self.slots[self.laps.index(position)];
        if slot
            .compare_exchange(mine.bits(), nothing.bits(), AcqRel, Relaxed)
            .is_ok()
        {
            self.count(content, nothing.content);
        }
    }

    fn count(&self, old: Content, new: Content) {
        if old.weight != new.weight {
            self.weight
                .fetch_add(new.weight as i64 - old.weight as i64, AcqRel);
        }
        if old.slow != new.slow {
            self.slow
                .fetch_add(i64::from(new.slow) - i64::from(old.slow), AcqRel);
        }
    }

    /// Returns what the slots hold, in thousandths and slow calls.
    #[cfg(test)]
    pub(super) fn content(&self) -> (i64, i64) {
        self.slots
            .iter()
            .map(|slot| Slot::from_bits(slot.load(Acquire)).content)
            .fold((0, 0), |(weight, slow), content| {
                (
                    weight + content.weight as i64,
                    slow + i64::from(content.slow),
                )
            })
    }

    /// Returns what the totals say of the same.
    #[cfg(test)]
    pub(super) fn totals(&self) -> (i64, i64) {
        (self.weight.load(Acquire), self.slow.load(Acquire))
    }
}

impl Head {
    fn start(pending: &Pending, generation: u32) -> Self {
        Self {
            generation: generation as u16,
            sum: pending.sum(generation),
            position: 0,
        }
    }
}
