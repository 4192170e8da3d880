//! What the machine asks for the operations that layers are made of.

use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project::{pin_project, pinned_drop};
use tokio::time::{Instant, sleep};
use tower::{Layer, Service};

use crate::rows::bare;
use crate::{Family, Row};

pub(super) fn family() -> Family {
    Family {
        name: "floor",
        rows: vec![
            bare(),
            Row::success("1 shared fetch_add", || {
                let counter: &AtomicU64 = Box::leak(Box::default());
                Before(move || {
                    counter.fetch_add(1, Ordering::Relaxed);
                })
            }),
            Row::success("fetch_add in + fetch_sub out", || {
                InAndOut(Box::leak(Box::default()))
            }),
            Row::success("Arc clone + drop", || {
                let shared = Arc::new(0_u64);
                Before(move || drop(black_box(Arc::clone(&shared))))
            }),
            Row::success("clock read", || {
                Before(|| {
                    black_box(Instant::now());
                })
            }),
            Row::success("timer set + dropped", || {
                Before(|| {
                    let timer = pin!(sleep(Duration::from_secs(1)));
                    let mut cx = Context::from_waker(Waker::noop());
                    let _ = black_box(timer.poll(&mut cx));
                })
            }),
        ],
    }
}

/// Does something before each call.
#[derive(Clone)]
pub(super) struct Before<F>(pub(super) F);

impl<F: Clone, S> Layer<S> for Before<F> {
    type Service = BeforeEach<F, S>;

    fn layer(&self, inner: S) -> Self::Service {
        BeforeEach {
            operation: self.0.clone(),
            inner,
        }
    }
}

#[derive(Clone)]
pub(super) struct BeforeEach<F, S> {
    operation: F,
    inner: S,
}

impl<F: Fn(), S: Service<Req>, Req> Service<Req> for BeforeEach<F, S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        (self.operation)();
        self.inner.call(request)
    }
}

/// Counts the calls in flight, as a limit does.
#[derive(Clone)]
struct InAndOut(&'static AtomicU64);

impl<S> Layer<S> for InAndOut {
    type Service = Counted<S>;

    fn layer(&self, inner: S) -> Counted<S> {
        Counted {
            inner,
            in_flight: self.0,
        }
    }
}

#[derive(Clone)]
struct Counted<S> {
    inner: S,
    in_flight: &'static AtomicU64,
}

impl<S: Service<Req>, Req> Service<Req> for Counted<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = CountedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        CountedFuture {
            inner: self.inner.call(request),
            in_flight: self.in_flight,
        }
    }
}

#[pin_project(PinnedDrop)]
struct CountedFuture<F> {
    #[pin]
    inner: F,
    in_flight: &'static AtomicU64,
}

impl<F: Future> Future for CountedFuture<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.project().inner.poll(cx)
    }
}

#[pinned_drop]
impl<F> PinnedDrop for CountedFuture<F> {
    fn drop(self: Pin<&mut Self>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
