use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use watertight_core::Padded;

use crate::sync::AtomicI64;

/// The slots of a room that are free.
///
/// While there are plenty, they are *spread*: each stripe has some, a call takes one from its own
/// and gives it back there, and threads do not meet. Once a stripe and the centre have run out they
/// are *gathered*: stripes are closed, and all slots are in the centre, where one word tells exactly
/// whether there is one left.
/// While somebody waits for one the centre is *held*: who takes a slot asks under the lock, and who
/// gives one back comes there to pass it on.
///
/// Slots move between the stripes and the centre under the lock of the room alone. The methods that
/// say so are to be called with it.
#[derive(Debug)]
pub(super) struct Counter {
    /// How many are to be free for them to be spread.
    plenty: AtomicI64,
    /// How many stay in the centre, for the important: who takes one of a stripe need not look how
    /// many others are free.
    reserved: AtomicI64,
    /// How many are free, in steps of [`ONE`], and two flags. Below zero while more are taken than
    /// there are.
    centre: Padded<AtomicI64>,
    /// How many are free in each, in steps of [`ONE_HERE`], and whether it is [`OPEN`].
    stripes: Box<[Padded<AtomicI64>]>,
}

/// The stripe is in use. It is so only while they are [`SPREAD`].
const OPEN: i64 = 1;
const ONE_HERE: i64 = 2;

/// Stripes may be open.
const SPREAD: i64 = 1;
/// Somebody waits.
const HELD: i64 = 2;
const FLAGS: i64 = SPREAD | HELD;
const FLAG_BITS: u32 = 2;
const ONE: i64 = 1 << FLAG_BITS;

/// How many slots there are to be for each stripe before they are spread: one fetch from the centre
/// brings two then.
const PLENTY: i64 = 4;

/// What became of the wish to take a slot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Take {
    Taken,
    /// There was none.
    None,
    /// That can be told under the lock alone.
    Ask,
    /// The same, and somebody waits.
    Held,
}

/// What is left to do when a slot was given back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Give {
    Done,
    /// To take the lock, and pass it on if somebody waits.
    Settle,
    /// The same, but first to [collect](Counter::collect) it from its stripe.
    Collect,
}

impl Counter {
    /// With one stripe the slots are never spread.
    pub(super) fn new(free: i64, reserved: i64, stripes: usize) -> Self {
        let counter = Self {
            plenty: AtomicI64::new(0),
            reserved: AtomicI64::new(0),
            centre: Padded(AtomicI64::new(free * ONE)),
            stripes: (0..stripes).map(|_| Padded(AtomicI64::new(0))).collect(),
        };
        counter.reserve(reserved);
        counter.spread_if_plenty();
        counter
    }

    /// Takes a slot of `stripe`. Where that is closed, takes one if more than `floor` are free.
    #[inline]
    pub(super) fn take(&self, stripe: usize, floor: impl Fn() -> i64) -> Take {
        let mine = self.stripe(stripe);
        let mut word = mine.load(Relaxed);
        while word & OPEN != 0 {
            if word == OPEN {
                return Take::Ask;
            }
            match mine.compare_exchange_weak(word, word - ONE_HERE, AcqRel, Relaxed) {
                Ok(_) => return Take::Taken,
                Err(now) => word = now,
            }
        }
        self.take_from_centre(floor)
    }

    #[inline]
    fn take_from_centre(&self, floor: impl Fn() -> i64) -> Take {
        let mut word = self.centre.load(Acquire);
        while word & FLAGS == 0 {
            if word >> FLAG_BITS <= floor() {
                return Take::None;
            }
            match self
                .centre
                .compare_exchange_weak(word, word - ONE, AcqRel, Acquire)
            {
                Ok(_) => return Take::Taken,
                Err(now) => word = now,
            }
        }
        if word & HELD != 0 {
            Take::Held
        } else {
            Take::Ask
        }
    }

    /// Gives a slot back that was taken on `stripe`.
    #[inline]
    pub(super) fn give(&self, stripe: usize) -> Give {
        let mine = self.stripe(stripe);
        if mine.load(Relaxed) & OPEN != 0 {
            // It may have been closed meanwhile.
            let was_open = mine.fetch_add(ONE_HERE, AcqRel) & OPEN != 0;
            return if was_open { Give::Done } else { Give::Collect };
        }
        let word = self.centre.fetch_add(ONE, AcqRel) + ONE;
        let is_plenty = word >> FLAG_BITS >= self.plenty.load(Relaxed);
        if word & HELD != 0 || is_plenty && word & SPREAD == 0 {
            Give::Settle
        } else {
            Give::Done
        }
    }

    /// Under the lock: takes a slot wherever it is, if more than `floor` are free.
    pub(super) fn take_any(&self, stripe: usize, floor: i64) -> bool {
        if self.is_spread() {
            if self.fetch(stripe) {
                return true;
            }
            self.gather();
            self.spread_if_plenty();
            if self.is_spread() && self.fetch(stripe) {
                return true;
            }
        }
        let take = |word| (word >> FLAG_BITS > floor).then_some(word - ONE);
        self.centre.fetch_update(AcqRel, Acquire, take).is_ok()
    }

    /// Under the lock, with the centre held: takes a slot, of those that are free there.
    pub(super) fn grant(&self) {
        self.centre.fetch_sub(ONE, AcqRel);
    }

    /// Under the lock, with all slots gathered: has takers ask and givers settle from now on,
    /// unless more than `floor` are free.
    pub(super) fn hold(&self, floor: i64) -> bool {
        let hold = |word| (word >> FLAG_BITS <= floor).then_some(word | HELD);
        self.centre.fetch_update(AcqRel, Acquire, hold).is_ok()
    }

    /// Under the lock: nobody waits any more.
    pub(super) fn unhold(&self) {
        if self.centre.load(Relaxed) & HELD != 0 {
            self.centre.fetch_sub(HELD, AcqRel);
        }
        self.spread_if_plenty();
    }

    /// Under the lock: closes a stripe, and takes what is in it to the centre.
    pub(super) fn collect(&self, stripe: usize) {
        let free = close(self.stripe(stripe));
        self.centre.fetch_add(free * ONE, AcqRel);
    }

    /// Under the lock: adds slots, or takes away those that there will be, too.
    pub(super) fn resize(&self, more: i64, reserved: i64) {
        if self.in_centre() + more < reserved {
            self.gather();
        }
        self.reserve(reserved);
        self.centre.fetch_add(more * ONE, AcqRel);
    }

    /// Returns how many are free: less than none if more are taken than there are. While slots
    /// move, those on their way may be missing or counted twice.
    pub(super) fn free(&self) -> i64 {
        let in_stripe = |stripe: &Padded<AtomicI64>| stripe.load(Acquire) / ONE_HERE;
        self.in_centre() + self.stripes.iter().map(in_stripe).sum::<i64>()
    }

    /// Returns how many are free in the centre: of all that are gathered.
    pub(super) fn in_centre(&self) -> i64 {
        self.centre.load(Acquire) >> FLAG_BITS
    }

    /// Under the lock: moves all slots to the centre.
    fn gather(&self) {
        if self.is_spread() {
            let free = self.stripes.iter().map(|it| close(it)).sum::<i64>();
            self.centre.fetch_add(free * ONE - SPREAD, AcqRel);
        }
    }

    /// Under the lock: lets stripes open if there are plenty, and nobody waits.
    fn spread_if_plenty(&self) {
        let plenty = self.plenty.load(Relaxed);
        let spread = |word| {
            let may = word & FLAGS == 0 && word >> FLAG_BITS >= plenty;
            may.then_some(word | SPREAD)
        };
        let _ = self.centre.fetch_update(AcqRel, Acquire, spread);
    }

    /// Under the lock: takes a slot from the centre, and some with it for the stripe, which opens.
    fn fetch(&self, stripe: usize) -> bool {
        let spare = self.in_centre() - self.reserved.load(Relaxed);
        if spare <= 0 {
            return false;
        }
        let slots = (spare / (2 * self.stripes.len() as i64)).max(1);
        self.centre.fetch_sub(slots * ONE, AcqRel);
        let open = |word| Some((word | OPEN) + (slots - 1) * ONE_HERE);
        let _ = self.stripe(stripe).fetch_update(AcqRel, Acquire, open);
        true
    }

    fn reserve(&self, reserved: i64) {
        let plenty = match self.stripes.len() {
            1 => i64::MAX,
            stripes => reserved + PLENTY * stripes as i64,
        };
        self.plenty.store(plenty, Relaxed);
        self.reserved.store(reserved, Relaxed);
    }

    fn is_spread(&self) -> bool {
        self.centre.load(Relaxed) & SPREAD != 0
    }

    #[inline]
    fn stripe(&self, number: usize) -> &AtomicI64 {
        &self.stripes[number & (self.stripes.len() - 1)]
    }
}

/// Returns how many slots were free in a stripe, where nobody takes one any more.
fn close(stripe: &AtomicI64) -> i64 {
    stripe.swap(0, AcqRel) / ONE_HERE
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn who_takes_slots_of_his_stripe_leaves_the_centre_alone() {
        let counter = Counter::new(100, 10, 4);
        assert_eq!(counter.take(1, || 0), Take::Ask);
        assert!(counter.take_any(1, 0));
        let centre = counter.in_centre();

        assert_eq!(counter.take(1, || 0), Take::Taken);
        assert_eq!(counter.give(1), Give::Done);
        assert_eq!(counter.give(1), Give::Done);

        assert_eq!(counter.in_centre(), centre);
        assert_eq!(counter.free(), 100);
    }

    #[test]
    fn what_is_reserved_is_never_in_a_stripe() {
        let counter = Counter::new(100, 10, 4);

        let taken = (0..4000).filter(|stripe| counter.take_any(stripe % 4, 10));

        assert_eq!(taken.count(), 90);
        assert_eq!((counter.in_centre(), counter.free()), (10, 10));
        assert!(counter.take_any(0, 0));
    }

    #[test]
    fn few_slots_and_those_of_one_stripe_stay_in_the_centre() {
        for counter in [Counter::new(15, 0, 4), Counter::new(1000, 0, 1)] {
            let centre = counter.in_centre();

            assert_eq!(counter.take(0, || 0), Take::Taken);

            assert_eq!(counter.in_centre(), centre - 1);
        }
    }

    #[test]
    fn slots_are_spread_again_once_there_are_plenty() {
        let counter = Counter::new(16, 0, 4);
        assert_eq!((0..20).filter(|_| counter.take_any(0, 0)).count(), 16);
        assert_eq!(counter.take(0, || 0), Take::None);

        let given = [(); 16].map(|()| counter.give(0));
        counter.unhold();

        assert_eq!(given[14..], [Give::Done, Give::Settle]);
        assert_eq!(counter.take(0, || 0), Take::Ask);
    }
}
