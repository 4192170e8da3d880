use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// The last calls that were allowed the longest timeout, and what has become of them.
///
/// Of a call that is cut off nobody knows how long it would have taken. These know: each is one of
/// many of its time, and speaks for those that were cut off. All times are in nanoseconds.
#[derive(Debug)]
pub(crate) struct Explorers {
    slots: Box<[AtomicU64]>,
    set_out: AtomicU64,
    /// The number of the first that may speak.
    first: AtomicU64,
    /// How many calls have been cut off.
    cuts: AtomicU64,
    /// Whether one is wanted before its turn.
    wanted: AtomicBool,
    /// How many have set out before their turn.
    ahead: AtomicU64,
}

/// A call that explores.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Explorer {
    pub(crate) number: u64,
    /// When it set out.
    pub(crate) since: u64,
}

/// What is known of the calls that take longer than a limit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Testimony {
    /// They end after this time.
    Ends(u64),
    /// They do not end, as far as anybody has waited.
    Hangs,
    /// Nobody has seen any.
    Unknown,
}

/// Of a hundred calls that are cut off of ten thousand, one will be here.
const MOST: usize = 256;

/// So many may set out before their turn: calls that are cut off in a row say that something has
/// changed, and whether it is for long is not known until a few have been waited for.
const MOST_AHEAD: u64 = 4;

/// One that is out for so many times the limit is taken for one that hangs. Until then nobody knows.
const PATIENCE: u64 = 8;

const TAG_BITS: u32 = 2;
/// It set out at this time.
const OUT: u64 = 1;
/// It took this time.
const ENDED: u64 = 2;
/// It has not ended for this time, or has failed after it.
const HUNG: u64 = 3;

impl Explorers {
    pub(crate) fn new() -> Self {
        Self {
            slots: (0..MOST).map(|_| AtomicU64::new(0)).collect(),
            set_out: AtomicU64::new(0),
            first: AtomicU64::new(0),
            cuts: AtomicU64::new(0),
            wanted: AtomicBool::new(false),
            ahead: AtomicU64::new(0),
        }
    }

    /// Whether the call that comes explores, whose turn it is or not.
    #[inline]
    pub(crate) fn explores(&self, is_its_turn: bool) -> bool {
        (is_its_turn || self.wanted.load(Ordering::Relaxed)) && self.decide(is_its_turn)
    }

    #[cold]
    fn decide(&self, is_its_turn: bool) -> bool {
        if is_its_turn {
            // One that has set out ahead took its place.
            let repaid = self
                .ahead
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| {
                    ahead.checked_sub(1)
                });
            return repaid.is_err();
        }
        self.wanted.swap(false, Ordering::Relaxed)
            && self
                .ahead
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |ahead| {
                    (ahead < MOST_AHEAD).then_some(ahead + 1)
                })
                .is_ok()
    }

    /// Sends a call out.
    pub(crate) fn send(&self, now: u64) -> Explorer {
        let explorer = Explorer {
            number: self.set_out.fetch_add(1, Ordering::Relaxed),
            since: now,
        };
        self.slot(explorer.number)
            .store(word(now, OUT), Ordering::Relaxed);
        explorer
    }

    /// Takes note of what became of an explorer after this time: an answer, or none that is any
    /// good.
    pub(crate) fn ended(&self, explorer: Explorer, after: u64, well: bool) {
        let ended = word(after, if well { ENDED } else { HUNG });
        // Its place may have been taken.
        let _ = self.slot(explorer.number).compare_exchange(
            word(explorer.since, OUT),
            ended,
            Ordering::Relaxed,
            Ordering::Relaxed,
        );
    }

    /// Takes note that a call was cut off at `limit`, and says what would have become of it.
    ///
    /// Half of the calls go by what the last of those has met that took longer than the limit, a
    /// quarter by the one before it, and so on: what is over must not speak for what has begun.
    /// Only those speak that set out after the first `before`.
    pub(crate) fn cut(&self, limit: u64, before: u64, now: u64) -> Testimony {
        let cut = self.cuts.fetch_add(1, Ordering::Relaxed) + 1;
        if !self.wanted.load(Ordering::Relaxed) {
            self.wanted.store(true, Ordering::Relaxed);
        }
        let mut back = cut.trailing_zeros();
        let mut oldest = Testimony::Unknown;
        let set_out = self.set_out();
        let first = self.first.load(Ordering::Relaxed).max(before);
        for number in (first.max(set_out.saturating_sub(MOST as u64))..set_out).rev() {
            match self.testimony(number, limit, now) {
                Testimony::Unknown => continue,
                known => oldest = known,
            }
            if back == 0 {
                break;
            }
            back -= 1;
        }
        oldest
    }

    /// Returns how many have set out.
    pub(crate) fn set_out(&self) -> u64 {
        self.set_out.load(Ordering::Relaxed)
    }

    /// Lets nobody speak who has set out before now.
    pub(crate) fn forget(&self) {
        let set_out = self.set_out();
        self.first.store(set_out, Ordering::Relaxed);
    }

    /// Returns what one says of calls that take longer than `limit`.
    fn testimony(&self, number: u64, limit: u64, now: u64) -> Testimony {
        let word = self.slot(number).load(Ordering::Relaxed);
        let time = word >> TAG_BITS;
        match word & ((1 << TAG_BITS) - 1) {
            ENDED if time > limit => Testimony::Ends(time),
            OUT if now.saturating_sub(time) / PATIENCE > limit => Testimony::Hangs,
            HUNG if time > limit => Testimony::Hangs,
            _ => Testimony::Unknown,
        }
    }

    fn slot(&self, number: u64) -> &AtomicU64 {
        &self.slots[number as usize % MOST]
    }
}

const fn word(time: u64, tag: u64) -> u64 {
    time << TAG_BITS | tag
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: u64 = 100;

    #[test]
    fn nobody_knows_before_one_has_taken_longer() {
        let explorers = Explorers::new();
        assert_eq!(explorers.cut(LIMIT, 0, 0), Testimony::Unknown);

        let quick = explorers.send(0);
        explorers.ended(quick, LIMIT, true);
        explorers.send(0);

        assert_eq!(
            explorers.cut(LIMIT, 0, PATIENCE * LIMIT),
            Testimony::Unknown
        );
    }

    #[test]
    fn one_that_is_out_for_long_hangs_until_it_comes_back() {
        let explorers = Explorers::new();
        let explorer = explorers.send(7);
        let late = 7 + PATIENCE * (LIMIT + 1);

        assert_eq!(explorers.cut(LIMIT, 0, late), Testimony::Hangs);
        explorers.ended(explorer, 5_000, true);
        assert_eq!(explorers.cut(LIMIT, 0, late), Testimony::Ends(5_000));
        // With a longer limit it would not have been cut off.
        assert_eq!(explorers.cut(5_000, 0, late), Testimony::Unknown);
    }

    #[test]
    fn one_that_brings_no_good_answer_hangs() {
        let explorers = Explorers::new();
        let explorer = explorers.send(0);
        explorers.ended(explorer, 500, false);

        assert_eq!(explorers.cut(LIMIT, 0, 500), Testimony::Hangs);
    }

    #[test]
    fn the_last_ones_speak_most() {
        let explorers = Explorers::new();
        for took in [400, 300, 200] {
            let explorer = explorers.send(0);
            explorers.ended(explorer, took, true);
        }

        let mut heard = [0; 3];
        for _ in 0..80 {
            let Testimony::Ends(took) = explorers.cut(LIMIT, 0, 0) else {
                panic!("all have ended");
            };
            heard[took as usize / 100 - 2] += 1;
        }

        assert_eq!(heard, [40, 20, 20]);
    }

    #[test]
    fn those_who_are_forgotten_or_went_before_do_not_speak() {
        let explorers = Explorers::new();
        let explorer = explorers.send(0);
        explorers.ended(explorer, 500, true);

        assert_eq!(explorers.cut(LIMIT, 1, 0), Testimony::Unknown);
        assert_eq!(explorers.cut(LIMIT, 0, 0), Testimony::Ends(500));
        explorers.forget();
        assert_eq!(explorers.cut(LIMIT, 0, 0), Testimony::Unknown);
    }

    #[test]
    fn one_whose_place_was_taken_says_nothing() {
        let explorers = Explorers::new();
        let first = explorers.send(1);
        for now in 0..MOST as u64 {
            explorers.send(now);
        }

        explorers.ended(first, 500, true);

        assert_eq!(explorers.cut(LIMIT, 0, 0), Testimony::Unknown);
    }

    #[test]
    fn some_set_out_early_and_the_share_stays() {
        let explorers = Explorers::new();
        let mut set_out = 0;
        for call in 0..10_000_u64 {
            explorers.cut(LIMIT, 0, 0);
            set_out += u64::from(explorers.explores(call % 100 == 99));
        }

        assert!((100..=100 + MOST_AHEAD).contains(&set_out), "{set_out}");
    }
}
