use std::sync::Arc;

use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_retry::{RetryBudget, RetryBudgetBuilder, RetryLayer};

use crate::runtime;

/// Makes a breaker with its default settings: 50 % of a window of 100 calls.
pub(crate) fn count_window() -> CircuitBreakerLayer {
    let (layer, _) = CircuitBreakerLayer::builder()
        .build_with_handle()
        .expect("the defaults are valid");
    layer
}

pub(crate) fn forced_open() -> CircuitBreakerLayer {
    let (layer, handle) = CircuitBreakerLayer::builder()
        .build_with_handle()
        .expect("the defaults are valid");
    runtime().block_on(handle.force_open());
    layer
}

/// Makes a retry layer with its default settings, which has no budget.
pub(crate) fn retry_at_will<E>() -> RetryLayer<u64, u64, E> {
    RetryLayer::builder().build()
}

/// Makes a retry layer with ten retries a second.
pub(crate) fn retry_by_tokens<E>() -> RetryLayer<u64, u64, E> {
    RetryLayer::builder().budget(tokens(100)).build()
}

/// Makes a retry layer whose budget never allows a retry.
pub(crate) fn retry_without_tokens<E>() -> RetryLayer<u64, u64, E> {
    RetryLayer::builder().budget(tokens(0)).build()
}

fn tokens(most: usize) -> Arc<dyn RetryBudget> {
    RetryBudgetBuilder::new()
        .token_bucket()
        .max_tokens(most)
        .build()
        .expect("as many tokens are allowed")
}
