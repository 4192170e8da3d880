use std::sync::atomic::Ordering::{AcqRel, Acquire, Release};

use super::ratio::whole;
use crate::window::sync::AtomicU64;
use crate::{Padded, stripe_count, thread_number};

/// Lets so many extra attempts be in flight as there are calls in flight, times a ratio.
#[derive(Debug)]
pub(super) struct Concurrent {
    ratio: f64,
    floor: u32,
    stripes: Box<[Padded<Stripe>]>,
    /// The extra attempts that are in flight, or paid for.
    extras: AtomicU64,
}

/// What a thread has seen begin and end. A call may end on another thread than it began on.
#[derive(Debug)]
struct Stripe {
    began: AtomicU64,
    ended: AtomicU64,
}

impl Concurrent {
    pub(super) fn new(ratio: f64, floor: u32) -> Self {
        Self::striped(ratio, floor, stripe_count())
    }

    pub(super) fn striped(ratio: f64, floor: u32, stripes: usize) -> Self {
        Self {
            ratio,
            floor,
            stripes: (0..stripes).map(|_| Padded(Stripe::new())).collect(),
            extras: AtomicU64::new(0),
        }
    }

    pub(super) fn begin(&self) {
        self.begin_in(thread_number());
    }

    pub(super) fn begin_in(&self, thread: usize) {
        self.stripe(thread).began.fetch_add(1, Release);
    }

    pub(super) fn end(&self) {
        self.end_in(thread_number());
    }

    pub(super) fn end_in(&self, thread: usize) {
        self.stripe(thread).ended.fetch_add(1, Release);
    }

    pub(super) fn withdraw(&self) -> bool {
        let allowed = self.allowed();
        let more = |extras| (extras < allowed).then_some(extras + 1);
        self.extras.fetch_update(AcqRel, Acquire, more).is_ok()
    }

    pub(super) fn end_extra(&self) {
        self.extras.fetch_sub(1, AcqRel);
    }

    fn allowed(&self) -> u64 {
        // What began first: calls that begin and end meanwhile are taken for fewer, not for more.
        let began = self.sum(|stripe| &stripe.began);
        let ended = self.sum(|stripe| &stripe.ended);
        let share = self.ratio * began.saturating_sub(ended) as f64;
        u64::from(self.floor).max(whole(share))
    }

    fn sum(&self, counter: impl Fn(&Stripe) -> &AtomicU64) -> u64 {
        self.stripes
            .iter()
            .map(|stripe| counter(stripe).load(Acquire))
            .sum()
    }

    fn stripe(&self, thread: usize) -> &Stripe {
        &self.stripes[thread & (self.stripes.len() - 1)]
    }
}

impl Stripe {
    fn new() -> Self {
        Self {
            began: AtomicU64::new(0),
            ended: AtomicU64::new(0),
        }
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::thread;

    use super::*;

    fn withdraw_all(concurrent: &Concurrent) -> usize {
        (0..100).take_while(|_| concurrent.withdraw()).count()
    }

    #[test]
    fn the_floor_holds_until_the_calls_in_flight_allow_more() {
        let concurrent = Concurrent::new(0.2, 3);

        assert_eq!(withdraw_all(&concurrent), 3);

        for _ in 0..20 {
            concurrent.begin();
        }
        assert_eq!(withdraw_all(&concurrent), 1);

        concurrent.end_extra();
        assert_eq!(withdraw_all(&concurrent), 1);
    }

    #[test]
    fn calls_that_are_over_allow_nothing() {
        let concurrent = Concurrent::new(0.5, 0);
        for _ in 0..10 {
            concurrent.begin();
        }
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..6 {
                    concurrent.end();
                }
            });
        });

        assert_eq!(withdraw_all(&concurrent), 2);
    }

    #[test]
    fn nothing_of_nothing_is_nothing() {
        let concurrent = Concurrent::new(0.0, 0);
        concurrent.begin();

        assert!(!concurrent.withdraw());
    }
}
