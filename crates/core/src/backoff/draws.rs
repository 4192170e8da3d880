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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn draws_every_duration_of_a_range_alike() {
        for mut draws in [Draws::Thread, Draws::new(Some(&Seed::new(7)))] {
            let mut counts = [0; 5];

            for _ in 0..10_000 {
                let drawn = draws.uniform(Duration::from_nanos(3)..=Duration::from_nanos(7));
                counts[drawn.as_nanos() as usize - 3] += 1;
            }

            assert!(
                counts.iter().all(|count| (1_700..2_300).contains(count)),
                "{counts:?}"
            );
        }
    }

    #[test]
    fn an_empty_range_gives_its_start() {
        let drawn = Draws::Thread.uniform(2 * MS..=MS);

        assert_eq!(drawn, 2 * MS);
    }

    #[test]
    fn neighbouring_seeds_share_no_sessions() {
        let sessions = |seed| {
            let seed = Seed::new(seed);
            (0..1_000).map(|_| seed.next()).collect::<Vec<_>>()
        };

        let mut all: Vec<u64> = (0..20).flat_map(sessions).collect();

        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 20_000);
    }

    proptest! {
        #[test]
        fn what_is_drawn_is_in_the_range(a: Duration, b: Duration, seed: u64) {
            let (low, high) = (a.min(b), a.max(b));
            for mut draws in [Draws::Thread, Draws::Seeded(seed)] {
                prop_assert!((low..=high).contains(&draws.uniform(low..=high)));
            }
        }
    }
}
