use std::future::{Ready, ready};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tower::hedge::{self, Hedge};
use tower::layer::util::Stack;
use tower::limit::ConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, RetryLayer};
use tower::{Layer, Service};

/// A policy for `tower`, which has none of its own: three attempts, one right after the other.
#[derive(Clone, Debug)]
pub(crate) struct Attempts {
    left: u32,
    budget: Option<Arc<TpsBudget>>,
}

impl Attempts {
    fn layer(budget: Option<TpsBudget>) -> RetryLayer<Self> {
        RetryLayer::new(Self {
            left: 2,
            budget: budget.map(Arc::new),
        })
    }
}

pub(crate) fn retry_with_budget() -> RetryLayer<Attempts> {
    Attempts::layer(Some(tps_budget()))
}

/// Makes a retry layer whose budget never allows a retry.
pub(crate) fn retry_without_means() -> RetryLayer<Attempts> {
    Attempts::layer(Some(TpsBudget::new(WINDOW, 0, 0.0)))
}

pub(crate) fn retry_without_budget() -> RetryLayer<Attempts> {
    Attempts::layer(None)
}

/// Makes a budget of one retry for ten calls, and ten a second.
pub(crate) fn tps_budget() -> TpsBudget {
    TpsBudget::new(WINDOW, 10, 0.1)
}

const WINDOW: Duration = Duration::from_secs(10);

impl<Req: Clone, Res, E> Policy<Req, Res, E> for Attempts {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Req, result: &mut Result<Res, E>) -> Option<Ready<()>> {
        if result.is_ok() {
            if let Some(budget) = &self.budget {
                budget.deposit();
            }
            return None;
        }
        self.left = self.left.checked_sub(1)?;
        let is_paid = self.budget.as_ref().is_none_or(|budget| budget.withdraw());
        is_paid.then(|| ready(()))
    }

    fn clone_request(&mut self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }
}

/// Makes a limit that refuses the calls above it, as a bulkhead does.
pub(crate) fn shed_above(limit: usize) -> Stack<ConcurrencyLimitLayer, LoadShedLayer> {
    Stack::new(ConcurrencyLimitLayer::new(limit), LoadShedLayer::new())
}

/// `tower`'s hedge, which has no layer: it hedges what is slower than 95 % of the calls.
///
/// It goes by the calls of the last [`WINDOW`], and hedges nothing in its first. The calls that it
/// is told of here put it past that.
#[derive(Clone, Copy, Debug)]
pub(crate) struct HedgeLayer;

impl<S: Service<u64, Error: Into<tower::BoxError>> + Clone> Layer<S> for HedgeLayer {
    type Service = Hedged<S>;

    fn layer(&self, inner: S) -> Hedged<S> {
        Hedged {
            hedge: Hedge::new_with_mock_latencies(
                inner.clone(),
                AllTwice,
                10,
                0.95,
                WINDOW,
                &[1; 20],
            ),
            inner,
        }
    }
}

/// `tower`'s hedge is no `Clone`: a clone of this is a hedge of its own, so that two threads share
/// nothing.
pub(crate) struct Hedged<S> {
    inner: S,
    hedge: Hedge<S, AllTwice>,
}

impl<S: Service<u64, Error: Into<tower::BoxError>> + Clone> Clone for Hedged<S> {
    fn clone(&self) -> Self {
        HedgeLayer.layer(self.inner.clone())
    }
}

impl<S: Service<u64, Error: Into<tower::BoxError>> + Clone> Service<u64> for Hedged<S> {
    type Response = S::Response;
    type Error = tower::BoxError;
    type Future = <Hedge<S, AllTwice> as Service<u64>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.hedge.poll_ready(cx)
    }

    fn call(&mut self, request: u64) -> Self::Future {
        self.hedge.call(request)
    }
}

/// Every request may be sent twice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllTwice;

impl<Req: Clone> hedge::Policy<Req> for AllTwice {
    fn clone_request(&self, request: &Req) -> Option<Req> {
        Some(request.clone())
    }

    fn can_retry(&self, _: &Req) -> bool {
        true
    }
}
