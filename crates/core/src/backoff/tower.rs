//! Ours as tower's own retry takes them.

use tokio::time::{Sleep, sleep};
use tower::retry::backoff;

use crate::{Backoff, Delays};

impl backoff::MakeBackoff for Backoff {
    type Backoff = Delays;

    fn make_backoff(&mut self) -> Delays {
        self.delays()
    }
}

impl backoff::Backoff for Delays {
    type Future = Sleep;

    fn next_backoff(&mut self) -> Sleep {
        sleep(self.next_delay())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use tokio::time::Instant;
    use tower::retry::backoff::{Backoff as _, MakeBackoff as _};
    use tower::retry::{Policy, Retry};
    use tower::{BoxError, Service, ServiceExt, service_fn};

    use super::*;
    use crate::Jitter;

    const MS: Duration = Duration::from_millis(1);

    /// Tries until it succeeds. Tower gives each call a clone.
    #[derive(Clone)]
    struct UntilItSucceeds(Delays);

    impl Policy<(), (), BoxError> for UntilItSucceeds {
        type Future = Sleep;

        fn retry(&mut self, (): &mut (), answer: &mut Result<(), BoxError>) -> Option<Sleep> {
            answer.is_err().then(|| self.0.next_backoff())
        }

        fn clone_request(&mut self, (): &()) -> Option<()> {
            Some(())
        }
    }

    /// Makes two calls through tower's retry, of which each succeeds at its fourth attempt, and
    /// returns how long they take.
    async fn durations(mut backoff: Backoff) -> [Duration; 2] {
        let attempts = Cell::new(0);
        let flaky = service_fn(|()| {
            attempts.set(attempts.get() + 1);
            let succeeds = attempts.get() % 4 == 0;
            async move { succeeds.then_some(()).ok_or_else(|| "broken".into()) }
        });
        let mut retry = Retry::new(UntilItSucceeds(backoff.make_backoff()), flaky);

        let mut durations = [Duration::ZERO; 2];
        for duration in &mut durations {
            let start = Instant::now();
            retry.ready().await.unwrap().call(()).await.unwrap();
            *duration = Instant::now() - start;
        }
        assert_eq!(attempts.get(), 8);
        durations
    }

    #[tokio::test(start_paused = true)]
    async fn towers_own_retry_waits_as_the_backoff_says() {
        let backoff = Backoff::exponential(100 * MS, 10_000 * MS);

        assert_eq!(durations(backoff).await, [700 * MS; 2]);
    }

    #[tokio::test(start_paused = true)]
    async fn towers_own_retry_waits_with_jitter() {
        let backoff = Backoff::exponential(100 * MS, 10_000 * MS).jitter(Jitter::Equal);

        // Tokio's timers are as fine as a millisecond, and round up.
        for duration in durations(backoff.seed(1)).await {
            assert!((350 * MS..=703 * MS).contains(&duration), "{duration:?}");
            assert_ne!(duration, 700 * MS);
        }
    }
}
