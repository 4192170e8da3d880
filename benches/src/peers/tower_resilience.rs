use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project::pin_project;
use tower::layer::util::Stack;
use tower::{Layer, Service};
use tower_resilience_adaptive::{AdaptiveLimiterLayer, Aimd, Vegas};
use tower_resilience_bulkhead::BulkheadLayer;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;
use tower_resilience_hedge::HedgeLayer;
use tower_resilience_ratelimiter::{RateLimiterConfigBuilder, RateLimiterLayer, WindowType};
use tower_resilience_retry::{RetryBudget, RetryBudgetBuilder, RetryLayer};

use crate::{Echo, runtime};

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

/// Makes a bulkhead that is otherwise at its defaults: who finds no slot waits.
pub(crate) fn bulkhead(slots: usize) -> BulkheadLayer {
    let builder = BulkheadLayer::builder().max_concurrent_calls(slots);
    builder.build().expect("as many slots are allowed")
}

pub(crate) fn aimd() -> AdaptiveLimiterLayer<Aimd> {
    let aimd = Aimd::builder().build();
    AdaptiveLimiterLayer::new(aimd.expect("the defaults are valid"))
}

pub(crate) fn vegas() -> AdaptiveLimiterLayer<Vegas> {
    let vegas = Vegas::builder().build();
    AdaptiveLimiterLayer::new(vegas.expect("the defaults are valid"))
}

/// Makes a window that lets all calls pass.
pub(crate) fn window(window: WindowType) -> RateLimiterLayer {
    // A log takes room for all calls that may come, as soon as it is made.
    built(rate_limiter(2_000_000, Duration::from_millis(100)).window_type(window))
}

/// Makes a token bucket that lets all calls pass.
pub(crate) fn token_bucket() -> RateLimiterLayer {
    built(rate_limiter(2_000_000_000, Duration::from_secs(1)).burst_size(0))
}

/// Makes a token bucket that has nothing left.
pub(crate) fn token_bucket_dry() -> RateLimiterLayer {
    let layer = built(rate_limiter(1, Duration::from_secs(86_400)).burst_size(0));
    let first = layer.layer(Echo::<false>).call(0);
    runtime().block_on(first).expect("there is one");
    layer
}

/// A call that finds nothing does not wait.
fn rate_limiter(limit: usize, period: Duration) -> RateLimiterConfigBuilder {
    let builder = RateLimiterLayer::builder().limit_for_period(limit);
    builder
        .refresh_period(period)
        .timeout_duration(Duration::ZERO)
}

/// Makes a layer whose services share a limit, as those of the other layers do.
fn built(builder: RateLimiterConfigBuilder) -> RateLimiterLayer {
    let (layer, _) = builder
        .build_with_handle()
        .expect("as many calls are allowed");
    layer
}

/// Makes a hedge after a second. It has no percentiles.
///
/// It polls only what has been woken, so that the inner service has to wake it, which no other row
/// asks for.
pub(crate) fn hedge() -> Stack<Wakes, HedgeLayer> {
    let layer = HedgeLayer::builder().delay(Duration::from_secs(1)).build();
    Stack::new(Wakes, layer)
}

/// Wakes whoever polls as often as the inner service is pending.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wakes;

impl<S> Layer<S> for Wakes {
    type Service = Waking<S>;

    fn layer(&self, inner: S) -> Waking<S> {
        Waking(inner)
    }
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Waking<S>(S);

impl<S: Service<Req>, Req> Service<Req> for Waking<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = WakingFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        WakingFuture(self.0.call(request))
    }
}

#[pin_project]
pub(crate) struct WakingFuture<F>(#[pin] F);

impl<F: Future> Future for WakingFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let polled = self.project().0.poll(cx);
        if polled.is_pending() {
            cx.waker().wake_by_ref();
        }
        polled
    }
}
