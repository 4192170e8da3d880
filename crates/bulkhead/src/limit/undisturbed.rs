use std::mem;

use super::adaptive::MANY_DROPS;
use super::tally::Tally;
use crate::Sample;

/// How long a call takes that does not wait at the service: the mean of many, for one fast call
/// says nothing.
#[derive(Debug, Default)]
pub(super) struct Undisturbed {
    known: Tally,
    /// What has been seen since it was last made part of what is known.
    fresh: Tally,
    /// How the last measure differed, if it did much.
    doubt: Option<Change>,
}

/// What earlier measures still count when a new one comes: about 20 are remembered.
const MEMORY: f64 = 0.95;

/// How many calls make the latency well known. Where few calls are most of the work, those of the
/// first probe alone are as often half of it or twice as much.
const MANY_CALLS: f64 = 300.0;

/// A measure that is so many times what is known, or so many times less, leaves a doubt. A second
/// one like it in a row shows that the service has changed.
const UNSURE: f64 = 1.5;

impl Undisturbed {
    pub(super) fn see(&mut self, sample: &Sample) {
        self.fresh.add(sample, false);
    }

    /// How many calls have been seen since the last measure.
    pub(super) fn seen(&self) -> f64 {
        self.fresh.calls
    }

    /// The latency in seconds, once a call has been served.
    pub(super) fn latency(&self) -> Option<f64> {
        self.known.latency().or_else(|| self.fresh.latency())
    }

    /// Whether what is known is of many calls.
    pub(super) fn is_well_known(&self) -> bool {
        self.known.calls >= MANY_CALLS
    }

    /// Makes a measure of what has been seen, and returns true if it leaves no doubt. What was seen
    /// while calls were dropped is none.
    pub(super) fn settle(&mut self) -> bool {
        let fresh = mem::take(&mut self.fresh);
        let Some(latency) = fresh.latency().filter(|_| fresh.dropped() <= MANY_DROPS) else {
            return false;
        };
        let Some(known) = self.known.latency() else {
            self.known = fresh;
            return false;
        };
        let change = latency / known;
        let doubt = if change > UNSURE {
            Some(Change::Slower)
        } else if change * UNSURE < 1.0 {
            Some(Change::Faster)
        } else {
            None
        };
        let has_changed = doubt.is_some() && doubt == self.doubt;
        let memory = if has_changed { 0.0 } else { MEMORY };
        self.known.fold(memory, &fresh);
        self.doubt = doubt.filter(|_| !has_changed);
        doubt.is_none()
    }
}

/// How a measure differs from what is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Change {
    Faster,
    Slower,
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use super::*;

    /// Makes a measure of 50 calls. Returns whether it agrees, and what is known then, in rounded
    /// milliseconds.
    fn measure(undisturbed: &mut Undisturbed, millis: u64) -> (bool, u64) {
        for _ in 0..50 {
            undisturbed.see(&served(millis, 1));
        }
        let agrees = undisturbed.settle();
        (
            agrees,
            (undisturbed.latency().unwrap() * 1e3).round() as u64,
        )
    }

    #[test]
    fn averages_measures() {
        let mut undisturbed = Undisturbed::default();

        assert_eq!(measure(&mut undisturbed, 10), (false, 10));
        assert_eq!(measure(&mut undisturbed, 14), (true, 12));
    }

    #[test]
    fn starts_over_when_two_in_a_row_differ_in_the_same_way() {
        let mut undisturbed = Undisturbed::default();
        for _ in 0..20 {
            measure(&mut undisturbed, 10);
        }

        assert_eq!(measure(&mut undisturbed, 40), (false, 12));
        assert_eq!(measure(&mut undisturbed, 40), (false, 40));
        assert_eq!(measure(&mut undisturbed, 40), (true, 40));
    }

    #[test]
    fn a_third_that_differs_is_the_first_of_a_new_row() {
        let mut undisturbed = Undisturbed::default();
        for millis in [10, 40, 40] {
            measure(&mut undisturbed, millis);
        }

        assert_eq!(measure(&mut undisturbed, 80), (false, 61));
        assert_eq!(measure(&mut undisturbed, 160), (false, 160));
    }

    #[test]
    fn one_that_differs_alone_is_averaged() {
        let mut undisturbed = Undisturbed::default();
        for millis in [10, 10, 10, 10, 20, 4] {
            measure(&mut undisturbed, millis);
        }

        assert_eq!(measure(&mut undisturbed, 10), (true, 11));
    }

    #[test]
    fn one_lucky_call_is_lost_among_many() {
        let mut undisturbed = Undisturbed::default();
        measure(&mut undisturbed, 10);

        undisturbed.see(&served(0, 1));

        assert_eq!(measure(&mut undisturbed, 10), (true, 10));
    }

    #[test]
    fn many_drops_are_no_measure() {
        let mut undisturbed = Undisturbed::default();
        measure(&mut undisturbed, 10);
        for millis in [1_000; 6] {
            undisturbed.see(&drop(millis, 1));
        }

        assert_eq!(measure(&mut undisturbed, 10), (false, 10));
    }
}
