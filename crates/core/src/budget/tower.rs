use tokio::time::Instant;
use tower::retry::budget::Budget as TowerBudget;

use super::Budget;
use super::machine::Machine;
use crate::{Failure, FailureKind};

/// For tower's own retry: a deposit is a call that succeeded at its first attempt, a withdrawal is a
/// failure and an extra attempt that is sent at once.
impl TowerBudget for Budget {
    fn deposit(&self) {
        self.machine().begin(false, Instant::now);
        self.machine().succeed(0);
        self.machine().end();
    }

    fn withdraw(&self) -> bool {
        // Nobody would say when the attempt is over.
        if let Machine::Concurrent(_) = self.machine() {
            return false;
        }
        let failure = Failure::new(FailureKind::Other);
        self.machine().fail(&failure);
        let allowed = self.machine().withdraw(&failure, Instant::now).is_some();
        if allowed {
            self.machine().send(Instant::now);
        }
        allowed
    }
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use std::future::{Ready, ready};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

    use tower::retry::{Policy, RetryLayer};
    use tower::{Layer, ServiceExt, service_fn};

    use super::*;

    /// Repeats what fails, as long as the budget allows it.
    #[derive(Clone)]
    struct WithBudget(Budget);

    impl Policy<u32, u32, &'static str> for WithBudget {
        type Future = Ready<()>;

        fn retry(
            &mut self,
            _: &mut u32,
            result: &mut Result<u32, &'static str>,
        ) -> Option<Ready<()>> {
            if result.is_ok() {
                self.0.deposit();
                return None;
            }
            self.0.withdraw().then(|| ready(()))
        }

        fn clone_request(&mut self, request: &u32) -> Option<u32> {
            Some(*request)
        }
    }

    /// Has tower's retry make `good` calls that succeed and one that fails for ever, and returns how
    /// often the last was tried.
    async fn attempts_after(good: u32, budget: Budget) -> u32 {
        let attempts = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&attempts);
        let service = RetryLayer::new(WithBudget(budget)).layer(service_fn(move |request: u32| {
            let counter = Arc::clone(&counter);
            async move {
                counter.fetch_add(1, Relaxed);
                if request == 0 { Err("no") } else { Ok(request) }
            }
        }));

        for _ in 0..good {
            assert_eq!(service.clone().oneshot(1).await, Ok(1));
        }
        assert_eq!(service.oneshot(0).await, Err("no"));
        attempts.load(Relaxed) - good
    }

    #[tokio::test]
    async fn towers_retry_keeps_to_it_in_every_style() {
        for (budget, attempts) in [
            (Budget::ratio(0.1).min_per_second(0.0), 1 + 10),
            (Budget::ratio(0.1).min_per_second(0.5), 1 + 10 + 5),
            (Budget::tokens(140), 1 + 10),
            (Budget::grpc(10, 0.1), 1 + 4),
            (Budget::concurrent(0.2, 3), 1),
        ] {
            let made = attempts_after(100, budget.clone()).await;

            assert_eq!(made, attempts, "{budget:?}");
        }
    }

    #[tokio::test]
    async fn services_with_the_same_handle_share_it() {
        let budget = Budget::tokens(42);

        assert_eq!(attempts_after(0, budget.clone()).await, 4);
        assert_eq!(attempts_after(13, budget.clone()).await, 1);
        assert_eq!(attempts_after(1, budget).await, 2);
    }
}
