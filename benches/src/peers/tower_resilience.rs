use tower_resilience_circuitbreaker::CircuitBreakerLayer;

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
