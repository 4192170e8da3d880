use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use tower::retry::budget::{Budget, TpsBudget};
use tower::retry::{Policy, RetryLayer};

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
