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
        Self::with_stripes(stripe_count())
    }

    /// Creates counters of which more threads share a cache line, if `stripes` is less than the
    /// [usual](stripe_count): where there are many counters, of which each is seldom used.
    ///
    /// # Panics
    ///
    /// If `stripes` is no power of two.
    // The threads of a loom model have small stacks, of which this takes much where it is inlined.
    #[inline(never)]
    #[must_use]
    pub fn with_stripes(stripes: usize) -> Self {
        assert!(stripes.is_power_of_two(), "{stripes} is no power of two");
        Self {
            stripes: (0..Seat::count(stripes))
                .map(|_| Padded(array::from_fn(|_| AtomicU64::new(0))))
                .collect(),
        }
    }

    /// Adds `n` to a counter. Counters wrap around, so the two's complement of a number takes that
    /// away.
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
            .fold(0, u64::wrapping_add)
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

    #[test]
    fn what_one_thread_adds_another_may_take_away() {
        for stripes in [1, 2, stripe_count()] {
            let counters = Counters::<1>::with_stripes(stripes);
            for n in [5, -3_i64] {
                let add = || counters.add(0, n as u64);
                thread::scope(|scope| scope.spawn(add).join().unwrap());
            }

            assert_eq!(counters.total(0), 2);
        }
    }
}
