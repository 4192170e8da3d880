use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use super::sync::AtomicU64;
use crate::{Padded, stripe_count, thread_number};

/// Successes that have not been seen to yet: counted by each thread in a stripe of its own, until
/// a record comes that needs them.
///
/// It outlives the [`Tally`](crate::Tally) that is made of it, so that a layer whose window is
/// replaced can count on.
#[derive(Debug)]
pub struct Pending {
    /// Each a generation and how many steps it has gone in that, see [`successes`](Self::successes).
    /// Steps only grow, so that whoever reads all twice can tell what came between.
    stripes: Box<[Padded<AtomicU64>]>,
    /// The last step of each round of so many is no success. It is the sign to record one, before
    /// too many to tell are pending.
    round: u64,
    /// The successes of earlier generations.
    settled: AtomicU64,
    /// The largest total that anybody has seen.
    seen: AtomicU64,
}

/// In how many bits sums of successes are told apart.
pub(super) const SUM_BITS: u32 = 22;

/// With rounds as short as this, the successes of a stripe that is full are 0 in [`SUM_BITS`], so
/// that it may begin again.
const MAX_ROUND: u64 = 1 << (TAG - SUM_BITS);

impl Pending {
    /// Creates one with a stripe for each of the first [`stripe_count`] threads.
    #[must_use]
    pub fn new() -> Self {
        Self::striped(stripe_count())
    }

    /// Creates one with a single stripe, for those who need thousands.
    #[must_use]
    pub fn single() -> Self {
        Self::striped(1)
    }

    pub(super) fn striped(stripes: usize) -> Self {
        let most = (1 << (SUM_BITS - 2)) / (stripes as u64).next_power_of_two();
        Self::with_round(stripes, most.clamp(2, MAX_ROUND))
    }

    /// A `round` is a power of two.
    pub(super) fn with_round(stripes: usize, round: u64) -> Self {
        Self {
            stripes: (0..stripes).map(|_| Padded(AtomicU64::new(0))).collect(),
            round,
            settled: AtomicU64::new(0),
            seen: AtomicU64::new(0),
        }
    }

    /// Puts a success by and returns true. If it returns false it has not, and the success must
    /// be recorded: either its generation is over, or it is time for someone to record again.
    #[inline]
    pub fn success(&self, generation: u32) -> bool {
        self.success_in(thread_number() & (self.stripes.len() - 1), generation)
    }

    #[inline]
    pub(super) fn success_in(&self, stripe: usize, generation: u32) -> bool {
        let stripe = &self.stripes[stripe].0;
        let mut word = stripe.load(Relaxed);
        while tag(word) == generation {
            let next = word & !STEPS | (word + 1) & STEPS;
            match stripe.compare_exchange_weak(word, next, AcqRel, Relaxed) {
                Ok(_) if steps(next) & (self.round - 1) != 0 => return true,
                Ok(_) => {
                    if steps(next) == 0 {
                        self.settle(STEPS + 1);
                    }
                    return false;
                }
                Err(now) => word = now,
            }
        }
        false
    }

    /// Returns how many successes were ever put by.
    #[must_use]
    pub fn total(&self) -> u64 {
        let settled = self.settled.load(Acquire);
        let counted: u64 = self
            .stripes
            .iter()
            .map(|stripe| self.successes(steps(stripe.load(Acquire))))
            .sum();
        // What leaves a stripe is settled a moment later. Nobody shall see it missing.
        let total = settled + counted;
        total.max(self.seen.fetch_max(total, AcqRel))
    }

    /// Counts a success that needs no stripe.
    pub(super) fn add(&self) {
        self.settled.fetch_add(1, Relaxed);
    }

    /// Empties all stripes for `generation`, unless they are in it already.
    pub(super) fn begin(&self, generation: u32) {
        for stripe in &self.stripes {
            let empty = u64::from(generation) << TAG;
            let begun = stripe.fetch_update(AcqRel, Acquire, |word| {
                (tag(word) != generation).then_some(empty)
            });
            if let Ok(word) = begun {
                self.settle(steps(word));
            }
        }
    }

    /// Returns the sum of what the stripes have counted in `generation`, in [`SUM_BITS`].
    pub(super) fn sum(&self, generation: u32) -> u64 {
        let sum: u64 = self
            .stripes
            .iter()
            .map(|stripe| stripe.load(Acquire))
            .filter(|word| tag(*word) == generation)
            .map(|word| self.successes(steps(word)))
            .sum();
        sum & ((1 << SUM_BITS) - 1)
    }

    fn settle(&self, steps: u64) {
        self.settled.fetch_add(self.successes(steps), AcqRel);
    }

    fn successes(&self, steps: u64) -> u64 {
        steps - steps / self.round
    }
}

impl Default for Pending {
    fn default() -> Self {
        Self::new()
    }
}

const TAG: u32 = 32;
const STEPS: u64 = (1 << TAG) - 1;

const fn tag(word: u64) -> u32 {
    (word >> TAG) as u32
}

const fn steps(word: u64) -> u64 {
    word & STEPS
}
