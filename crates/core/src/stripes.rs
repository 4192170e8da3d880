use std::cell::Cell;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::available_parallelism;

/// A cache line of its own for a `T`: two lines, since processors fetch them in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Padded<T>(pub T);

impl<T> Deref for Padded<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// A fixed set of `T`s, about two to a processor core, of which each thread uses its own.
///
/// An atomic that two threads write runs at 0.4 times the speed of one thread, and a shared
/// `Arc` that they clone is such an atomic. Where each thread has its own, two run at twice the
/// speed of one. So what a call must count or hold on to is striped: a call takes its thread's
/// stripe, the stripe leads to all the rest, and whoever reads sums up.
///
/// Cloning the set costs one reference count.
pub struct Stripes<T> {
    all: Arc<[Arc<Padded<T>>]>,
}

impl<T> Stripes<T> {
    /// Makes the stripes, each from its index. There are [`stripe_count`] of them.
    pub fn new(mut make: impl FnMut(usize) -> T) -> Self {
        Self {
            all: (0..stripe_count())
                .map(|index| Arc::new(Padded(make(index))))
                .collect(),
        }
    }

    /// Returns the calling thread's stripe.
    #[must_use]
    #[inline]
    pub fn mine(&self) -> &Arc<Padded<T>> {
        &self.all[thread_number() & (self.all.len() - 1)]
    }

    /// Returns all stripes.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.all.iter().map(|stripe| &stripe.0)
    }

    /// Returns how many clones of stripes are held outside the set: with one in each call's
    /// future, the calls in flight.
    #[must_use]
    pub fn held(&self) -> usize {
        self.all
            .iter()
            .map(|stripe| Arc::strong_count(stripe) - 1)
            .sum()
    }
}

impl<T> Clone for Stripes<T> {
    fn clone(&self) -> Self {
        Self {
            all: Arc::clone(&self.all),
        }
    }
}

impl<T: fmt::Debug> fmt::Debug for Stripes<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

/// Returns how many stripes there are: the power of two that is at least twice the number of
/// processor cores.
#[must_use]
pub fn stripe_count() -> usize {
    static COUNT: AtomicUsize = AtomicUsize::new(0);

    match COUNT.load(Ordering::Relaxed) {
        0 => {
            let cores = available_parallelism().map_or(1, usize::from);
            let count = (2 * cores).next_power_of_two();
            COUNT.store(count, Ordering::Relaxed);
            count
        }
        count => count,
    }
}

/// Returns the number of the calling thread. Threads are numbered as they first ask, so that the
/// first [`stripe_count`] of them share no stripe.
#[must_use]
#[inline]
pub fn thread_number() -> usize {
    const NONE: usize = usize::MAX;
    thread_local! {
        static MINE: Cell<usize> = const { Cell::new(NONE) };
    }

    #[cold]
    fn take_number() -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);

        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        MINE.set(number);
        number
    }

    match MINE.get() {
        NONE => take_number(),
        number => number,
    }
}

/// Where a thread counts, if there are two counters to a stripe.
///
/// The first threads have one each that nobody else writes: they need not lock the bus, which is
/// half of what counting costs. All later threads share the other half.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Seat {
    pub(crate) index: usize,
    /// Whether no other thread ever has it.
    pub(crate) is_own: bool,
}

impl Seat {
    /// Returns how many seats there are to so many stripes.
    pub(crate) const fn count(stripes: usize) -> usize {
        2 * stripes
    }

    /// Returns the seat of the thread of this number, among `count` of them: a power of two.
    #[inline]
    pub(crate) const fn of(thread: usize, count: usize) -> Self {
        let half = count / 2;
        if thread < half {
            Self {
                index: thread,
                is_own: true,
            }
        } else {
            Self {
                index: half + (thread & (half - 1)),
                is_own: false,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    #[test]
    fn a_thread_keeps_its_stripe_and_shares_it_with_clones() {
        let stripes = Stripes::new(|index| index);

        assert!(Arc::ptr_eq(stripes.mine(), stripes.clone().mine()));
    }

    #[test]
    fn two_threads_have_two_stripes() {
        let stripes = Stripes::new(|index| index);
        // The numbers of other tests' threads lie between, but no two of one run are equal.
        let numbers = thread::scope(|scope| {
            [(); 2]
                .map(|()| scope.spawn(thread_number))
                .map(|thread| thread.join().unwrap())
        });

        assert_ne!(numbers[0], numbers[1]);
        assert_eq!(stripes.iter().count(), stripe_count());
        assert!(stripe_count().is_power_of_two());
    }

    #[test]
    fn the_first_threads_share_their_seats_with_nobody() {
        let seats = (0..16).map(|thread| Seat::of(thread, Seat::count(4)));

        let (own, shared): (Vec<_>, Vec<_>) = seats.partition(|seat| seat.is_own);

        let indices = |seats: Vec<Seat>| seats.iter().map(|seat| seat.index).collect::<Vec<_>>();
        assert_eq!(indices(own), [0, 1, 2, 3]);
        assert_eq!(indices(shared), [4, 5, 6, 7].repeat(3));
    }

    #[test]
    fn knows_how_many_are_held() {
        let stripes = Stripes::new(|_| ());

        let held = [Arc::clone(stripes.mine()), Arc::clone(stripes.mine())];
        assert_eq!(stripes.held(), 2);

        drop(held);
        assert_eq!(stripes.held(), 0);
    }
}
