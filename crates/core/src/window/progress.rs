use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};
use std::time::Duration;

use tokio::time::Instant;

use super::sync::{AtomicU32, AtomicU64};
use crate::nanos;

/// How far a timed window has come.
///
/// Time goes in steps, and so does the window, but it skips what is more than it holds: a rest of
/// years moves it on by no more than `most` positions. So what is marked with a
/// position can be told from what was marked before, however long ago that was.
///
/// A new generation is a leap of twice as much. What records of the last one have come upon, or may
/// yet come upon, is at least `most` positions behind.
#[derive(Debug)]
pub(crate) struct Progress {
    epoch: Instant,
    /// In nanoseconds.
    step: u64,
    most: u64,
    /// How many positions there are, before they begin again.
    positions: u64,
    generation: AtomicU32,
    head: AtomicU64,
}

/// Where a window is: the last step that it knows of (44 bits, more than a century of the shortest),
/// and the position of that (20).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Head {
    step: u64,
    position: u64,
}

/// There are no more positions than this. No record is under way for half as many steps, which are
/// minutes even if they are the shortest.
pub(super) const MAX_POSITIONS: u64 = 1 << POSITION_BITS;

const POSITION_BITS: u32 = 20;
const STEP_BITS: u32 = 64 - POSITION_BITS;
const LAST_STEP: u64 = (1 << STEP_BITS) - 1;

impl Progress {
    /// `most` is how many steps the window holds. It starts at position `most - 1`, and the number
    /// of positions is a multiple of `most`.
    pub(crate) fn new(step: Duration, most: u64, generation: u32, epoch: Instant) -> Self {
        let first = Head {
            step: 0,
            position: most - 1,
        };
        Self {
            epoch,
            step: nanos(step).max(1),
            most,
            positions: MAX_POSITIONS / most * most,
            generation: AtomicU32::new(generation),
            head: AtomicU64::new(first.bits()),
        }
    }

    /// Returns the position of `now`, or of the latest time that was seen, unless the generation is
    /// over. `make_way` is called with a position, and how many steps the window will go on from
    /// it: it may be called for the same ones by many at once, also after the window has gone on.
    #[inline]
    pub(crate) fn position(
        &self,
        generation: u32,
        now: Instant,
        make_way: impl Fn(u64, u64),
    ) -> Option<u64> {
        let step = self.step(now);
        loop {
            // The head before the generation: a head of the next one goes with its generation.
            let bits = self.head.load(Acquire);
            if self.generation.load(Acquire) != generation {
                return None;
            }
            let head = Head::from_bits(bits);
            if step <= head.step {
                return Some(head.position);
            }
            let steps = (step - head.step).min(self.most);
            if let Some(position) = self.go_on(bits, step, steps, &make_way) {
                return Some(position);
            }
        }
    }

    /// Returns the position of `now` in the generation that it is.
    pub(crate) fn latest(&self, now: Instant, make_way: impl Fn(u64, u64)) -> u64 {
        loop {
            let generation = self.generation.load(Acquire);
            if let Some(position) = self.position(generation, now, &make_way) {
                return position;
            }
        }
    }

    /// Leaps to `generation`. Time goes on from `now`, even if it was later before.
    pub(crate) fn begin(&self, generation: u32, now: Instant, make_way: impl Fn(u64, u64)) {
        self.generation.store(generation, Release);
        let step = self.step(now);
        loop {
            let bits = self.head.load(Acquire);
            if self.go_on(bits, step, 2 * self.most, &make_way).is_some() {
                return;
            }
        }
    }

    /// Returns the position `steps` after `position`.
    pub(crate) fn after(&self, position: u64, steps: u64) -> u64 {
        (position + steps) % self.positions
    }

    /// Returns the position that is `most` steps before `position`.
    pub(crate) fn before(&self, position: u64) -> u64 {
        self.after(position, self.positions - self.most)
    }

    /// Returns the position just before `position`.
    pub(crate) fn previous(&self, position: u64) -> u64 {
        self.after(position, self.positions - 1)
    }

    /// Moves the head on, and returns its new position, unless others have moved it.
    #[cold]
    fn go_on(&self, bits: u64, step: u64, steps: u64, make_way: impl Fn(u64, u64)) -> Option<u64> {
        let position = Head::from_bits(bits).position;
        make_way(position, steps);
        let next = Head {
            step,
            position: self.after(position, steps),
        };
        self.head
            .compare_exchange(bits, next.bits(), AcqRel, Acquire)
            .is_ok()
            .then_some(next.position)
    }

    fn step(&self, now: Instant) -> u64 {
        (nanos(now.saturating_duration_since(self.epoch)) / self.step).min(LAST_STEP)
    }
}

impl Head {
    fn from_bits(bits: u64) -> Self {
        Self {
            step: bits & LAST_STEP,
            position: bits >> STEP_BITS,
        }
    }

    fn bits(self) -> u64 {
        self.position << STEP_BITS | self.step
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    /// The shortest step that there is.
    const STEP: Duration = Duration::from_nanos(250_000);
    const YEAR: Duration = Duration::from_secs(365 * 86_400);

    fn none(_: u64, _: u64) {}

    #[test]
    fn a_rest_moves_on_by_no_more_than_the_window_holds() {
        let start = Instant::now();
        let progress = Progress::new(STEP, 10, 0, start);

        let positions = [
            STEP,
            10 * STEP,
            30 * STEP,
            YEAR,
            100 * YEAR,
            100 * YEAR + STEP,
        ]
        .map(|time| progress.position(0, start + time, none));

        assert_eq!(positions, [10, 19, 29, 39, 49, 50].map(Some));
    }

    #[test]
    fn time_does_not_go_back_within_a_generation() {
        let start = Instant::now();
        let progress = Progress::new(STEP, 10, 0, start);
        progress.position(0, start + 5 * STEP, none);

        assert_eq!(progress.latest(start, none), 14);

        progress.begin(1, start, none);
        assert_eq!(progress.position(0, start, none), None);
        assert_eq!(progress.latest(start, none), 34);
        assert_eq!(progress.latest(start + STEP, none), 35);
    }

    #[test]
    fn positions_begin_again_where_the_window_begins() {
        let start = Instant::now();
        let progress = Progress::new(STEP, 10, 0, start);
        let last = progress.positions - 1;

        assert_eq!(progress.after(last, 1), 0);
        assert_eq!(progress.before(9), last);
        assert_eq!(last % 10, 9);
    }

    #[test]
    fn time_ends_without_a_leap_back() {
        let start = Instant::now();
        let progress = Progress::new(STEP, 10, 0, start);
        let end = progress.position(0, start + 300 * YEAR, none);

        assert_eq!(progress.position(0, start + 1_000 * YEAR, none), end);
    }
}
