use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use watertight_core::nanos;

/// The last durations that one thread has seen, on their way to where all threads meet.
///
/// They are handed over many at a time: each one would take a cache line from the other threads.
/// Where two threads share it they may lose one to each other, and never make one up.
#[derive(Debug, Default)]
pub(crate) struct Samples {
    /// In nanoseconds; 0 is none.
    slots: [AtomicU64; MOST],
    next: AtomicUsize,
    /// When they are to be handed over however few they are.
    due: AtomicU64,
}

/// They are worth their way when there are so many.
const MOST: usize = 16;

impl Samples {
    /// Keeps a duration. Returns true if it is time to [take](Self::take) what there is.
    #[inline]
    pub(crate) fn keep(&self, duration: Duration, now: u64) -> bool {
        let at = self.next.fetch_add(1, Ordering::Relaxed) % MOST;
        self.slots[at].store(nanos(duration).max(1), Ordering::Relaxed);
        at == MOST - 1 || now >= self.due.load(Ordering::Relaxed)
    }

    /// Takes what there is out, and leaves what comes until it is many, or `due`.
    pub(crate) fn take(&self, due: u64) -> impl Iterator<Item = Duration> {
        self.due.store(due, Ordering::Relaxed);
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
        assert!(samples.keep(Duration::ZERO, 0));
        seen += samples.take(u64::MAX).count();

        for n in 1..100 {
            if samples.keep(Duration::from_secs(n), 0) {
                seen += samples.take(u64::MAX).count();
                assert_eq!(seen as u64, n + 1);
            }
        }

        assert_eq!(seen, 96);
    }

    #[test]
    fn hands_over_few_when_they_are_due() {
        let samples = Samples::default();
        samples.keep(Duration::ZERO, 0);
        samples.take(100).for_each(drop);

        assert!(!samples.keep(Duration::from_nanos(5), 99));
        assert!(samples.keep(Duration::from_nanos(7), 100));

        let taken: Vec<_> = samples.take(200).collect();
        assert_eq!(taken, [5, 7].map(Duration::from_nanos));
    }
}
