use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The last durations that one thread has seen, on their way to where all threads meet, and which
/// calls are to be timed at all.
///
/// They are handed over many at a time: each one would take a cache line from the other threads.
/// And where calls come in a hurry, only some of them are timed. Where two threads share it they
/// may lose a duration to each other, and never make one up. All times are in nanoseconds.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// 0 is none.
    slots: [AtomicU64; MOST],
    next: AtomicUsize,
    /// When they are to be handed over however few they are.
    due: AtomicU64,
    /// When they were handed over last.
    taken: AtomicU64,
    calls: AtomicU64,
    /// A call is timed whose number has none of these bits.
    skip: AtomicU64,
    /// The number of the call that explores next.
    explores: AtomicU64,
}

/// What is to be done with a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Pick {
    /// Its duration counts.
    pub(crate) timed: bool,
    /// It is its turn to explore.
    pub(crate) explores: bool,
}

/// They are worth their way when there are so many.
const MOST: usize = 16;

/// If so many come in so short a time, 8,000 a second, one in eight tells as much of them, and the
/// clock takes longer than all the rest of a call.
const HURRY: u64 = 2_000_000;
const ONE_IN_EIGHT: u64 = 7;

impl Samples {
    /// Says what is to be done with the call that comes. One in `every` explores.
    #[inline]
    pub(crate) fn pick(&self, every: u64) -> Pick {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Pick {
            timed: number & self.skip.load(Ordering::Relaxed) == 0,
            explores: number >= self.explores.load(Ordering::Relaxed)
                && self.explores(number, every),
        }
    }

    #[cold]
    fn explores(&self, number: u64, every: u64) -> bool {
        // The first waits for half of its turn: it may be that few calls ever come this way.
        let next = number.saturating_add(every);
        let first = self.explores.swap(next, Ordering::Relaxed) == 0 && every > 1;
        if first {
            let half = number.saturating_add(every / 2);
            self.explores.store(half, Ordering::Relaxed);
        }
        !first
    }

    /// How many calls have come.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// For how many calls one duration stands.
    pub(crate) fn calls_each(&self) -> u64 {
        self.skip.load(Ordering::Relaxed) + 1
    }

    /// Keeps a duration. Returns true if it is time to [take](Self::take) what there is.
    #[inline]
    pub(crate) fn keep(&self, nanos: u64, now: u64) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % MOST;
        self.slots[at].store(nanos.max(1), Ordering::Relaxed);
        at == MOST - 1 || now >= self.due.load(Ordering::Relaxed)
    }

    /// Takes what there is out, and leaves what comes until it is many, or `due`. While all is due
    /// at once, each call is timed.
    pub(crate) fn take(&self, now: u64, due: u64) -> impl Iterator<Item = Duration> {
        self.due.store(due, Ordering::Relaxed);
        let last = self.taken.swap(now, Ordering::Relaxed);
        let is_hurry = due > now && now.saturating_sub(last) < HURRY;
        let skip = if is_hurry { ONE_IN_EIGHT } else { 0 };
        self.skip.store(skip, Ordering::Relaxed);
        self.slots
            .iter()
            .map(|slot| slot.swap(0, Ordering::Relaxed))
            .filter(|nanos| *nanos > 0)
            .map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hands_over_when_they_are_many_or_due() {
        let samples = Samples::default();
        assert!(samples.keep(1, 0));
        assert_eq!(samples.take(0, 100).count(), 1);

        for n in 1..MOST as u64 - 1 {
            assert!(!samples.keep(n, 99));
        }
        assert!(samples.keep(15, 99));
        assert_eq!(samples.take(99, 200).count(), MOST - 1);
        assert!(samples.keep(7, 200));
    }

    #[test]
    fn times_one_in_eight_calls_in_a_hurry_and_else_all() {
        let samples = Samples::default();
        let timed = || (0..80).filter(|_| samples.pick(1_000).timed).count();
        samples.take(10 * HURRY, u64::MAX).for_each(drop);
        assert_eq!((timed(), samples.calls_each()), (80, 1));

        samples.take(11 * HURRY - 1, u64::MAX).for_each(drop);
        assert_eq!((timed(), samples.calls_each()), (10, 8));

        samples.take(12 * HURRY, u64::MAX).for_each(drop);
        assert_eq!(timed(), 80);
    }

    #[test]
    fn hardly_ever_is_never() {
        let samples = Samples::default();
        samples.pick(100);

        let explores = (0..1_000).filter(|_| samples.pick(u64::MAX).explores);

        // Whose turn it is already.
        assert_eq!(explores.count(), 1);
    }

    #[test]
    fn one_call_in_so_many_explores() {
        for every in [1, 2, 100] {
            let samples = Samples::default();

            let explores = (0..1_000).filter(|_| samples.pick(every).explores);

            assert_eq!(explores.count() as u64, 1_000 / every, "{every}");
        }
    }
}
