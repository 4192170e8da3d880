use std::array;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::stripes::Seat;
use crate::{Padded, stripe_count, thread_number};

/// `N` counters for things that calls do. Each thread counts on a cache line of its own.
#[derive(Debug)]
pub struct Counters<const N: usize> {
    stripes: Box<[Padded<[AtomicU64; N]>]>,
}

impl<const N: usize> Counters<N> {
    /// Creates counters that are zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            stripes: (0..Seat::count(stripe_count()))
                .map(|_| Padded(array::from_fn(|_| AtomicU64::new(0))))
                .collect(),
        }
    }

    /// Adds `n` to a counter.
    ///
    /// # Panics
    ///
    /// If `counter` is not below `N`.
    #[inline]
    pub fn add(&self, counter: usize, n: u64) {
        let seat = Seat::of(thread_number(), self.stripes.len());
        let counter = &self.stripes[seat.index][counter];
        if seat.is_own {
            let count = counter.load(Ordering::Relaxed);
            counter.store(count.wrapping_add(n), Ordering::Relaxed);
        } else {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// Returns what all threads have counted.
    ///
    /// # Panics
    ///
    /// If `counter` is not below `N`.
    #[must_use]
    pub fn total(&self, counter: usize) -> u64 {
        self.stripes
            .iter()
            .map(|stripe| stripe[counter].load(Ordering::Relaxed))
            .sum()
    }
}

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn sums_up_what_threads_count() {
        let counters = Counters::<2>::new();
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    counters.add(0, 1);
                    counters.add(1, 5);
                });
            }
        });

        assert_eq!((counters.total(0), counters.total(1)), (3, 15));
    }
}
