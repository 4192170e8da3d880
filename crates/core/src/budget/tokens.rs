use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::settings::Costs;
use crate::window::sync::AtomicU64;
use crate::{Failure, Padded};

/// A bucket of tokens: extra attempts take what they cost, successes put some back.
#[derive(Debug)]
pub(super) struct Tokens {
    capacity: u64,
    costs: Costs,
    tokens: Padded<AtomicU64>,
}

impl Tokens {
    pub(super) fn new(capacity: u32, costs: Costs) -> Self {
        Self {
            capacity: capacity.into(),
            costs,
            tokens: Padded(AtomicU64::new(capacity.into())),
        }
    }

    /// Takes what an extra attempt after `failure` costs, and returns that.
    pub(super) fn take(&self, failure: &Failure) -> Option<u32> {
        let cost = self.costs[failure.kind as usize];
        self.tokens
            .fetch_update(AcqRel, Acquire, |tokens| tokens.checked_sub(cost.into()))
            .is_ok()
            .then_some(cost)
    }

    /// Puts `tokens` into the bucket, as far as there is room. Nothing is written if it is full.
    pub(super) fn put(&self, tokens: u32) {
        put(&self.tokens, tokens.into(), self.capacity);
    }
}

/// Adds `more` to `tokens`, up to `most`. Nothing is written if there are as many.
pub(super) fn put(tokens: &AtomicU64, more: u64, most: u64) {
    let filled = |tokens| (tokens < most).then(|| most.min(tokens + more));
    // An error is a full bucket.
    let _ = tokens.fetch_update(AcqRel, Acquire, filled);
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::super::settings::{Settings, Style};
    use super::*;
    use crate::FailureKind;

    fn tokens(capacity: u32) -> Tokens {
        let Style::Tokens { capacity, costs } = Settings::tokens(capacity).style else {
            unreachable!()
        };
        Tokens::new(capacity, costs)
    }

    fn level(tokens: &Tokens) -> u64 {
        tokens.tokens.load(Acquire)
    }

    #[test]
    fn a_failure_costs_what_its_kind_costs() {
        let tokens = tokens(500);

        for (kind, cost, left) in [
            (FailureKind::Server, 14, 486),
            (FailureKind::Timeout, 14, 472),
            (FailureKind::RateLimited, 5, 467),
            (FailureKind::Overloaded, 5, 462),
            (FailureKind::Other, 14, 448),
        ] {
            assert_eq!(tokens.take(&Failure::new(kind)), Some(cost));
            assert_eq!(level(&tokens), left);
        }
    }

    #[test]
    fn a_bucket_without_enough_gives_nothing() {
        let tokens = tokens(500);
        let failure = Failure::new(FailureKind::Server);

        let taken = (0..100).filter(|_| tokens.take(&failure).is_some());

        assert_eq!(taken.count(), 500 / 14);
        assert_eq!(level(&tokens), 500 % 14);
        assert_eq!(tokens.take(&Failure::new(FailureKind::Overloaded)), Some(5));
    }

    #[test]
    fn a_full_bucket_takes_no_more() {
        let tokens = tokens(100);
        tokens.take(&Failure::new(FailureKind::Overloaded));

        tokens.put(3);
        assert_eq!(level(&tokens), 98);
        tokens.put(u32::MAX);
        assert_eq!(level(&tokens), 100);
    }
}
