use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

/// Leaves samples out where there are more of them than it takes to learn, for they meet in a place
/// that threads share.
///
/// It lets about [`ENOUGH`] of a millisecond through, by leaving out as many between two of them as
/// the millisecond before calls for: whether a sample is let through has nothing to do with what it
/// says. With fewer, it lets all through.
///
/// A thread is meant to have one of its own. Where two share one they may overwrite each other's
/// counts, and more or fewer are let through.
#[derive(Debug, Default)]
pub(crate) struct Thinning {
    /// Which millisecond it is, and how many samples have come in it.
    millisecond: AtomicU64,
    seen: AtomicU64,
    /// Of how many samples one is let through. It is odd, so that calls which end well and badly in
    /// turns are both seen.
    one_of: AtomicU64,
    /// How many are left out before the next is let through.
    to_leave_out: AtomicU64,
}

/// A round of the adaptive limit is 8 samples for each slot: with so many, at 20 slots, it is over
/// in 10 ms.
const ENOUGH: u64 = 16;

const MILLISECOND: u64 = 1_000_000;

impl Thinning {
    /// Returns whether the sample of this time, in nanoseconds, is let through.
    pub(crate) fn lets_through(&self, now: u64) -> bool {
        self.turn_to(now / MILLISECOND);
        self.seen.store(self.seen.load(Relaxed) + 1, Relaxed);
        let to_leave_out = self.to_leave_out.load(Relaxed);
        let next = match to_leave_out {
            0 => self.one_of.load(Relaxed).saturating_sub(1),
            more => more - 1,
        };
        self.to_leave_out.store(next, Relaxed);
        to_leave_out == 0
    }

    fn turn_to(&self, millisecond: u64) {
        let last = self.millisecond.load(Relaxed);
        if millisecond == last {
            return;
        }
        let seen = match millisecond == last + 1 {
            true => self.seen.load(Relaxed),
            false => 0,
        };
        let one_of = (seen / ENOUGH) | 1;
        let to_leave_out = self.to_leave_out.load(Relaxed).min(one_of - 1);
        self.to_leave_out.store(to_leave_out, Relaxed);
        self.one_of.store(one_of, Relaxed);
        self.seen.store(0, Relaxed);
        self.millisecond.store(millisecond, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hands over samples that come at this distance in a millisecond, and returns the numbers of
    /// those that are let through.
    fn pass(thinning: &Thinning, millisecond: u64, count: u64) -> Vec<u64> {
        let at = |sample| millisecond * MILLISECOND + sample * MILLISECOND / count;
        let samples = 0..count;
        samples
            .filter(|sample| thinning.lets_through(at(*sample)))
            .collect()
    }

    #[test]
    fn all_pass_while_there_are_few() {
        let thinning = Thinning::default();

        for millisecond in 0..10 {
            assert_eq!(pass(&thinning, millisecond, 20).len(), 20);
        }
    }

    #[test]
    fn of_many_as_many_pass_as_are_enough() {
        let thinning = Thinning::default();
        pass(&thinning, 7, 1_600);

        let let_through = pass(&thinning, 8, 1_600);
        assert_eq!(let_through[..3], [0, 101, 202]);
        assert_eq!(let_through.len(), 16);
        assert_eq!(pass(&thinning, 9, 1_600).len(), 16);
    }

    #[test]
    fn those_that_alternate_pass_alike() {
        let thinning = Thinning::default();
        pass(&thinning, 0, 640);

        let let_through = pass(&thinning, 1, 640);

        let even = let_through.iter().filter(|sample| **sample % 2 == 0);
        assert_eq!((even.count(), let_through.len()), (8, 16));
    }

    #[test]
    fn all_pass_again_as_soon_as_there_are_few() {
        for pause in [1, 2, 1_000] {
            let thinning = Thinning::default();
            pass(&thinning, 0, 1_600);
            pass(&thinning, 1, 1_610);

            let after = 1 + pause;
            let next = pass(&thinning, after, 2);
            assert_eq!(next.is_empty(), pause == 1, "after {pause} ms");
            assert_eq!(pass(&thinning, after + 1, 2), [0, 1]);
        }
    }
}
