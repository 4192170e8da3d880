//! Retries.

use std::fmt;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use tower::layer::util::Stack;
use tower::{Layer, Service};
use watertight_core::{Always, Budget, ErrorsAreFailures};
use watertight_metrics::Registry;
use watertight_retry::{RetryBuilder, RetryLayer};

use crate::{Family, Limits, Row, peers};

pub(super) fn family() -> Family {
    Family {
        name: "retry",
        rows: vec![
            Row::success("tower retry, TpsBudget", peers::tower::retry_with_budget).reference(),
            Row::success("tower retry, no budget", peers::tower::retry_without_budget),
            Row::success(
                "tower-resilience retry, tokens",
                peers::tower_resilience::retry_by_tokens,
            ),
            Row::success(
                "tower-resilience retry, no budget",
                peers::tower_resilience::retry_at_will,
            ),
            Row::success("watertight retry", retry).within(SUCCESS),
            Row::cloned("watertight retry, a clone each call", retry),
            Row::success("watertight retry, no budget", || {
                builder().budget(Budget::unlimited()).build()
            }),
            Row::refusal("tower retry, budget empty", || {
                failing(peers::tower::retry_without_means())
            })
            .reference(),
            Row::refusal("tower-resilience retry, budget empty", || {
                failing(peers::tower_resilience::retry_without_tokens())
            }),
            Row::refusal("watertight retry, budget empty", || {
                failing(builder().budget(nothing()).build())
            })
            .within(REFUSAL),
        ],
    }
}

const SUCCESS: Limits = Limits {
    allocations: 0,
    locked: 2,
    clock: 0,
};

/// The delays of a call are boxed when it first fails.
const REFUSAL: Limits = Limits {
    allocations: 0,
    locked: 8,
    clock: 1,
};

fn builder() -> RetryBuilder<ErrorsAreFailures, Always> {
    RetryLayer::builder("payments")
        .repeat(Always)
        .registry(&Registry::new())
}

fn retry() -> RetryLayer<ErrorsAreFailures, Always> {
    builder().build()
}

/// Returns a budget that never allows a retry.
fn nothing() -> Budget {
    Budget::ratio(0.0).min_per_second(0.0)
}

/// Puts `layer` around a service that fails.
fn failing<L>(layer: L) -> Stack<Fails, L> {
    Stack::new(Fails, layer)
}

/// Fails without a call of the inner service.
#[derive(Clone, Copy, Debug)]
struct Fails;

#[derive(Clone, Copy, Debug)]
struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("failed")
    }
}

impl std::error::Error for Failed {}

impl<S> Layer<S> for Fails {
    type Service = Self;

    fn layer(&self, _: S) -> Self {
        Self
    }
}

impl Service<u64> for Fails {
    type Response = u64;
    type Error = Failed;
    type Future = Ready<Result<u64, Failed>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u64) -> Self::Future {
        ready(Err(Failed))
    }
}
