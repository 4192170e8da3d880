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
    #[inline]
    pub(super) fn put(&self, tokens: u32) {
        put(&self.tokens, tokens.into(), self.capacity);
    }
}

/// Adds `more` to `tokens`, up to `most`. Nothing is written if there are as many.
#[inline]
pub(super) fn put(tokens: &AtomicU64, more: u64, most: u64) {
    let filled = |tokens| (tokens < most).then(|| most.min(tokens + more));
    // An error is a full bucket.
    let _ = tokens.fetch_update(AcqRel, Acquire, filled);
}
