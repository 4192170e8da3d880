use super::span::{HORIZON_NANOS, Span};
use super::taken::Taken;

/// What was taken in the period that runs and in the one before it, which fades as if it had come
/// in evenly.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct TwoCounters {
    /// Which period of all time runs.
    index: u64,
    before: u64,
    current: u64,
}

impl TwoCounters {
    fn elapsed(&self, now: u64, span: &Span) -> u64 {
        now.saturating_sub(span.start_of(self.index))
    }
}

impl Taken for TwoCounters {
    fn new(_: &Span) -> Self {
        Self {
            index: 0,
            before: 0,
            current: 0,
        }
    }

    #[inline]
    fn advance(&mut self, now: u64, span: &Span) {
        let index = span.index(now);
        if index <= self.index {
            return;
        }
        self.before = if index == self.index + 1 {
            self.current
        } else {
            0
        };
        self.current = 0;
        self.index = index;
    }

    #[inline]
    fn used(&self, now: u64, span: &Span) -> u64 {
        self.current + span.faded(self.before, self.elapsed(now, span))
    }

    #[inline]
    fn add(&mut self, cost: u64, _: &Span, _: u64) {
        self.current += cost;
    }

    fn remove(&mut self, cost: u64, now: u64, span: &Span) {
        // It may have been taken before another caller had a later time.
        let (first, second) = if span.index(now) < self.index {
            (&mut self.before, &mut self.current)
        } else {
            (&mut self.current, &mut self.before)
        };
        let removed = cost.min(*first);
        *first -= removed;
        *second = second.saturating_sub(cost - removed);
    }

    #[inline]
    fn falls_to(&self, most: u64, now: u64, span: &Span) -> u64 {
        let (index, fading, rest) = if self.current <= most {
            (self.index, self.before, most - self.current)
        } else {
            (self.index + 1, self.current, most)
        };
        let falls_at = span.start_of(index) + span.fades_to(fading, rest);
        falls_at.max(now)
    }

    fn history(&self, now: u64, span: &Span) -> Vec<(u64, u64)> {
        let start = span.start_of(self.index);
        [(start.saturating_sub(1), self.before), (now, self.current)]
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .collect()
    }
}

/// How two counters and the index of the period fit in a word that is never 0.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packing {
    /// How many bits a counter has. The index has the others.
    bits: u32,
}

impl Packing {
    /// Finds room for the counts of `span`, if there is: for all the periods of a hundred years.
    pub(super) fn of(span: &Span) -> Option<Self> {
        let last = span.index(HORIZON_NANOS) + 1;
        let bits = last.leading_zeros() / 2;
        (span.most().leading_zeros() >= u64::BITS - bits).then_some(Self { bits })
    }

    #[inline]
    pub(super) fn pack(self, taken: TwoCounters) -> u64 {
        let TwoCounters {
            index,
            before,
            current,
        } = taken;
        // More than fits can only come over from a quota of another period.
        let mask = (1 << self.bits) - 1;
        (index + 1) << (2 * self.bits) | before.min(mask) << self.bits | current.min(mask)
    }

    /// Returns what is in a word. In one that was never written there is nothing.
    #[inline]
    pub(super) fn unpack(self, word: u64) -> TwoCounters {
        let mask = (1 << self.bits) - 1;
        TwoCounters {
            index: (word >> (2 * self.bits)).saturating_sub(1),
            before: word >> self.bits & mask,
            current: word & mask,
        }
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::*;
    use crate::Quota;

    #[test]
    fn what_was_taken_before_another_was_in_the_next_period_is_given_back_from_there() {
        let span = Span::new(
            &Quota::new(100, Duration::from_nanos(1_000)),
            1,
            Instant::now(),
        );
        let mut taken = TwoCounters::new(&span);
        taken.add(5, &span, 999);
        taken.advance(1_001, &span);
        taken.add(7, &span, 1_001);

        taken.remove(2, 999, &span);
        assert_eq!((taken.before, taken.current), (3, 7));

        taken.remove(9, 1_001, &span);
        assert_eq!((taken.before, taken.current), (1, 0));
    }

    #[test]
    fn a_word_holds_as_much_as_it_can() {
        let span = Span::new(&Quota::per_second(100), 1, Instant::now());
        let packing = Packing::of(&span).expect("it fits");
        let most = (1 << packing.bits) - 1;
        let too_much = TwoCounters {
            index: 3,
            before: u64::MAX,
            current: most + 1,
        };

        let expected = TwoCounters {
            index: 3,
            before: most,
            current: most,
        };
        assert_eq!(packing.unpack(packing.pack(too_much)), expected);
        assert_eq!(packing.unpack(0), TwoCounters::new(&span));
    }
}
