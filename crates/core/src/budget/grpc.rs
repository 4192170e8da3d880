use std::sync::atomic::Ordering::{AcqRel, Acquire};

use super::tokens::put;
use crate::window::sync::AtomicU64;
use crate::{Failure, FailureKind, Padded};

/// The throttle of gRPC's retries (gRFC A6): failures take tokens, successes put some back, and
/// extra attempts are made while it is more than half full. They take nothing themselves.
#[derive(Debug)]
pub(super) struct Grpc {
    max: u64,
    refill: u64,
    thousandths: Padded<AtomicU64>,
}

const TOKEN: u64 = 1_000;

impl Grpc {
    pub(super) fn new(max_tokens: u32, token_ratio: f64) -> Self {
        let max = u64::from(max_tokens) * TOKEN;
        Self {
            max,
            refill: (token_ratio * TOKEN as f64).round() as u64,
            thousandths: Padded(AtomicU64::new(max)),
        }
    }

    pub(super) fn is_allowed(&self) -> bool {
        self.thousandths.load(Acquire) * 2 > self.max
    }

    /// Takes a token, unless the failure is one that never votes.
    pub(super) fn fail(&self, failure: &Failure) {
        if failure.kind == FailureKind::Rejected {
            return;
        }
        let less = |tokens: u64| (tokens > 0).then(|| tokens.saturating_sub(TOKEN));
        // An error is an empty bucket.
        let _ = self.thousandths.fetch_update(AcqRel, Acquire, less);
    }

    pub(super) fn succeed(&self) {
        put(&self.thousandths, self.refill, self.max);
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    const FAILURE: Failure = Failure::new(FailureKind::Server);

    #[test]
    fn half_is_not_enough() {
        let grpc = Grpc::new(10, 0.1);

        for failures in 1..=10 {
            grpc.fail(&FAILURE);
            assert_eq!(grpc.is_allowed(), failures < 5, "{failures}");
        }
    }

    #[test]
    fn successes_bring_it_back_by_the_ratio() {
        let grpc = Grpc::new(10, 0.125);
        for _ in 0..100 {
            grpc.fail(&FAILURE);
        }

        for successes in 1..=100 {
            grpc.succeed();
            assert_eq!(grpc.is_allowed(), successes > 40, "{successes}");
        }
        assert_eq!(grpc.thousandths.load(Acquire), 10 * TOKEN);
    }

    #[test]
    fn what_a_layer_of_ours_refused_takes_nothing() {
        let grpc = Grpc::new(2, 0.1);

        grpc.fail(&Failure::new(FailureKind::Rejected));

        assert_eq!(grpc.thousandths.load(Acquire), 2 * TOKEN);
    }
}
