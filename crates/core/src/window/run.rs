use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::sync::AtomicU64;

/// How many failures have come since the last success: a generation (16 bits), a stamp that every
/// change moves on (16), and the count (32).
#[derive(Debug)]
pub(super) struct FailureRun(AtomicU64);

/// A count as it was once read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen(u64);

impl FailureRun {
    pub(super) fn new(generation: u32) -> Self {
        Self(AtomicU64::new(empty(generation)))
    }

    pub(super) fn begin(&self, generation: u32) {
        self.0.swap(empty(generation), AcqRel);
    }

    pub(super) fn see(&self) -> Seen {
        Seen(self.0.load(Acquire))
    }

    pub(super) fn count(&self) -> u32 {
        self.see().count()
    }

    /// Ends the run that was seen. Returns false if it has changed since.
    pub(super) fn end(&self, seen: Seen) -> bool {
        seen.count() == 0
            || self
                .0
                .compare_exchange(seen.0, seen.with_count(0), AcqRel, Relaxed)
                .is_ok()
    }

    /// Ends the run, whatever it has come to, unless the generation is over.
    pub(super) fn cut(&self, generation: u32) {
        let none = |word| {
            let seen = Seen(word);
            (seen.is_of(generation) && seen.count() > 0).then(|| seen.with_count(0))
        };
        // An error is another generation, or no run.
        let _ = self.0.fetch_update(AcqRel, Relaxed, none);
    }

    /// Adds a failure, unless the generation is over.
    pub(super) fn extend(&self, generation: u32) {
        let longer = |word| {
            let seen = Seen(word);
            seen.is_of(generation)
                .then(|| seen.with_count(seen.count().saturating_add(1)))
        };
        // An error is another generation.
        let _ = self.0.fetch_update(AcqRel, Relaxed, longer);
    }
}

impl Seen {
    pub(super) fn is_of(self, generation: u32) -> bool {
        self.0 >> TAG == u64::from(generation as u16)
    }

    fn count(self) -> u32 {
        self.0 as u32
    }

    fn with_count(self, count: u32) -> u64 {
        let stamp = ((self.0 >> STAMP) as u16).wrapping_add(1);
        self.0 >> TAG << TAG | u64::from(stamp) << STAMP | u64::from(count)
    }
}

const TAG: u32 = 48;
const STAMP: u32 = 32;

fn empty(generation: u32) -> u64 {
    u64::from(generation as u16) << TAG
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    #[test]
    fn counts_until_it_is_ended() {
        let run = FailureRun::new(3);

        run.extend(3);
        run.extend(3);
        assert_eq!(run.count(), 2);

        assert!(run.end(run.see()));
        assert_eq!(run.count(), 0);
    }

    #[test]
    fn does_not_end_a_run_that_has_changed() {
        let run = FailureRun::new(3);
        run.extend(3);
        let seen = run.see();

        assert!(run.end(seen));
        run.extend(3);

        assert!(!run.end(seen));
        assert_eq!(run.count(), 1);
    }

    #[test]
    fn hears_nothing_of_another_generation() {
        let run = FailureRun::new(3);
        run.begin(4);

        run.extend(3);

        assert_eq!(run.count(), 0);
    }
}
