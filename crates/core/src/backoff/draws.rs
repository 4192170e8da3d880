use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};

/// The seed of a [`Backoff`](super::Backoff), from which each of its sessions gets one of its own.
#[derive(Debug)]
pub(super) struct Seed {
    seed: u64,
    next: AtomicU64,
}

impl Seed {
    pub(super) fn new(seed: u64) -> Self {
        // Begins far from where other seeds begin, so that no two share sessions.
        let first = SmallRng::seed_from_u64(seed).random();
        Self {
            seed,
            next: AtomicU64::new(first),
        }
    }

    /// Returns the seed as it was set.
    #[cfg(feature = "serde")]
    pub(super) fn get(&self) -> u64 {
        self.seed
    }

    fn next(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }
}

impl PartialEq for Seed {
    fn eq(&self, other: &Self) -> bool {
        self.seed == other.seed
    }
}

/// Where the delays of one call are drawn from.
///
/// A seeded generator is kept as the seed of its next draw, which is a quarter of its size.
#[derive(Clone, Debug)]
pub(super) enum Draws {
    Thread,
    Seeded(u64),
}

impl Draws {
    pub(super) fn new(seed: Option<&Seed>) -> Self {
        seed.map_or(Self::Thread, |seed| Self::Seeded(seed.next()))
    }

    /// Returns a duration in the range, all equally likely; its start if the range is empty.
    pub(super) fn uniform(&mut self, range: RangeInclusive<Duration>) -> Duration {
        if range.start() >= range.end() {
            return *range.start();
        }
        match self {
            Self::Thread => rand::rng().random_range(range),
            Self::Seeded(seed) => {
                let mut rng = SmallRng::seed_from_u64(*seed);
                *seed = rng.random();
                rng.random_range(range)
            }
        }
    }
}
