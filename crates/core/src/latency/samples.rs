use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// The last durations that one thread has seen, on their way to where all threads meet, such as a
/// [`Quantile`](crate::Quantile), and which calls are to be timed at all.
///
/// They are handed over many at a time: each one would take a cache line from the other threads.
/// And where calls come in a hurry, only some of them are timed. Where two threads share it they
/// may lose a duration to each other, and never make one up. All times are in nanoseconds since
/// some moment of the owner's.
#[derive(Debug, Default)]
pub struct Samples {
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
}

/// What [`Samples`] say of a call that comes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Pick {
    /// How many calls came before it.
    pub number: u64,
    /// It is to be timed.
    pub timed: bool,
}

/// They are worth their way when there are so many.
const MOST: usize = 16;

/// If so many come in so short a time, 8,000 a second, one in eight tells as much of them, and the
/// clock takes longer than all the rest of a call.
const HURRY: u64 = 2_000_000;
const ONE_IN_EIGHT: u64 = 7;

impl Samples {
    /// Says what is to be done with the call that comes.
    #[inline]
    pub fn pick(&self) -> Pick {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        Pick {
            number,
            timed: number & self.skip.load(Ordering::Relaxed) == 0,
        }
    }

    /// Returns how many calls have come.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns for how many calls one duration stands: 1 or 8.
    #[must_use]
    pub fn calls_each(&self) -> u64 {
        self.skip.load(Ordering::Relaxed) + 1
    }

    /// Keeps a duration. Returns true if it is time to [take](Self::take) what there is.
    #[inline]
    pub fn keep(&self, nanos: u64, now: u64) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % MOST;
        self.slots[at].store(nanos.max(1), Ordering::Relaxed);
        at == MOST - 1 || now >= self.due.load(Ordering::Relaxed)
    }

    /// Takes what there is out, up to 16, and leaves what comes until it is as many, or `due`.
    /// While all is due at once, each call is timed.
    pub fn take(&self, now: u64, due: u64) -> impl Iterator<Item = Duration> {
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
    fn keeps_them_until_they_are_many() {
        let samples = Samples::default();
        let mut seen = 0;
        assert!(samples.keep(0, 0));
        seen += samples.take(0, u64::MAX).count();

        for n in 1..100 {
            if samples.keep(n, 0) {
                seen += samples.take(0, u64::MAX).count();
                assert_eq!(seen as u64, n + 1);
            }
        }

        assert_eq!(seen, 96);
    }

    #[test]
    fn hands_over_few_when_they_are_due() {
        let samples = Samples::default();
        samples.keep(0, 0);
        samples.take(0, 100).for_each(drop);

        assert!(!samples.keep(5, 99));
        assert!(samples.keep(7, 100));

        let taken: Vec<_> = samples.take(100, 200).collect();
        assert_eq!(taken, [5, 7].map(Duration::from_nanos));
    }

    #[test]
    fn times_one_in_eight_calls_in_a_hurry_and_else_all() {
        let samples = Samples::default();
        let timed = || (0..80).filter(|_| samples.pick().timed).count();
        let take = |now, due| samples.take(now, due).for_each(drop);
        take(10 * HURRY, u64::MAX);
        assert_eq!((timed(), samples.calls_each()), (80, 1));

        take(11 * HURRY - 1, u64::MAX);
        assert_eq!((timed(), samples.calls_each()), (10, 8));

        take(12 * HURRY, u64::MAX);
        assert_eq!(timed(), 80);
        // The warm-up.
        take(12 * HURRY, 12 * HURRY);
        assert_eq!(timed(), 80);
        assert_eq!((samples.pick().number, samples.calls()), (320, 321));
    }
}
