use std::time::Duration;

use watertight::http::{HttpClassifier, HttpDeadlines, HttpNotes, HttpRepeat};
use watertight::metrics::Registry;
use watertight::prelude::*;
use watertight::{Backoff, Budget, Window};

use crate::protect::CALL_TIMEOUT;

/// How many retries there may be for each call of the shop.
pub(crate) const RETRIES: f64 = 0.1;

/// How many hedges there may be for each call that can have one.
pub(crate) const HEDGES: f64 = 0.05;

/// How many calls to one upstream may be in flight. On a healthy day there are between one and
/// three, and if all four hang, they have no more than the shop's workers.
pub(crate) const CALLS: usize = 8;

/// How many may wait, and for how long: no worker has more than three to make, and a burst that
/// finds the upstream well is over by then.
const WAITING: usize = 32;
const MAX_WAIT: Duration = Duration::from_millis(50);

/// The shortest that a timeout becomes: longer than any healthy answer takes, and a busy machine
/// may stand still for some of it.
const MIN_TIMEOUT: Duration = Duration::from_millis(50);

/// Makes the layers of the shop's clients.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    registry: &'a Registry,
    open_for: Duration,
    /// One for the shop. What matters is how much all retries together add to its work, and of that
    /// an upstream in trouble may have what the others do not need: a tenth of its own calls would
    /// not make up for 30 % errors. One that is down takes little of it, since its breaker refuses
    /// the retries, and those are not made again.
    retries: Budget,
}

impl<'a> Layers<'a> {
    /// Returns the layers of one shop. Breakers stay open for `open_for`: a minute serves in
    /// production; in an incident of half a minute, a second does.
    pub(crate) fn new(registry: &'a Registry, open_for: Duration) -> Self {
        Self {
            registry,
            open_for,
            retries: Budget::ratio(RETRIES),
        }
    }

    /// By `.http()` it repeats what may be sent twice: a GET, and a POST that has an
    /// `Idempotency-Key`.
    pub(crate) fn retry(
        &self,
        name: &'static str,
    ) -> RetryLayer<HttpClassifier, HttpRepeat, HttpNotes> {
        RetryLayer::builder(name)
            .http()
            .max_attempts(3)
            .backoff(Backoff::exponential(
                Duration::from_millis(25),
                Duration::from_millis(250),
            ))
            // A call that has had all its time is not made again. So none takes longer than two that
            // do, and a page that needs two after each other still comes before its visitor leaves.
            .max_elapsed(CALL_TIMEOUT)
            .budget(self.retries.clone())
            .registry(self.registry)
            .build()
    }

    /// It has a budget of its own, so that no bad hour of retries takes the hedges away.
    pub(crate) fn hedge(&self, name: &'static str) -> HedgeLayer<HttpClassifier, HttpRepeat> {
        HedgeLayer::builder(name)
            .http()
            // Of the inventory's calls 3 % stall. After a larger share there would be no hedge until
            // a stall is over.
            .after_percentile(0.95)
            .max_hedges(1)
            .budget(HEDGES)
            .registry(self.registry)
            .build()
    }

    pub(crate) fn breaker(&self, name: &'static str) -> BreakerLayer<HttpClassifier> {
        BreakerLayer::builder(name)
            .http()
            .window(Window::calls(50))
            .open_for(self.open_for)
            .registry(self.registry)
            .build()
    }

    /// Its limit is fixed: it is about the shop's own workers, and the shop knows how many it has.
    /// An adaptive one finds out how much an upstream can take.
    pub(crate) fn bulkhead(&self, name: &'static str) -> BulkheadLayer<HttpClassifier> {
        BulkheadLayer::builder(name, CALLS)
            .http()
            .max_queue(WAITING)
            .max_wait(MAX_WAIT)
            .registry(self.registry)
            .build()
    }

    /// It follows the upstream, which answers within 15 ms on a healthy day.
    pub(crate) fn timeout(&self, name: &'static str) -> TimeoutLayer<HttpClassifier> {
        TimeoutLayer::adaptive(name)
            .http()
            .min(MIN_TIMEOUT)
            .max(CALL_TIMEOUT)
            .registry(self.registry)
            .build()
    }

    /// It tells the upstream how long the visitor of the page still waits.
    pub(crate) fn propagate(&self, name: &'static str) -> PropagateDeadlineLayer<HttpDeadlines> {
        PropagateDeadlineLayer::builder(name)
            .http()
            .at_most(CALL_TIMEOUT)
            .registry(self.registry)
            .build()
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use http::{HeaderMap, Request, Response};
    use tokio::time::Instant;
    use watertight::{BoxError, Context};

    use super::*;
    use crate::proxy::DEADLINE_MS;

    /// Asks an upstream that says what it was told.
    async fn headers_of_a_call() -> HeaderMap {
        let registry = Registry::new();
        let upstream = ServiceBuilder::new()
            .layer(Layers::new(&registry, CALL_TIMEOUT).propagate("stock"))
            .service_fn(async |request: Request<()>| {
                let mut answer = Response::new(());
                *answer.headers_mut() = request.headers().clone();
                Ok::<_, BoxError>(answer)
            });
        let answer = upstream.oneshot(Request::new(())).await.unwrap();
        answer.headers().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstream_is_told_how_long_the_visitor_waits_but_for_the_way_back() {
        let told = async |patience| {
            let context = Context {
                deadline: Some(Instant::now() + patience),
                ..Context::default()
            };
            let headers = context.scope(headers_of_a_call()).await;
            headers[DEADLINE_MS].to_str().unwrap().to_owned()
        };

        assert_eq!(told(Duration::from_millis(105)).await, "100");
        assert_eq!(told(Duration::from_secs(2)).await, "500");
    }

    #[tokio::test(start_paused = true)]
    async fn a_timeout_follows_the_upstream() {
        let registry = Registry::new();
        let layers = Layers::new(&registry, CALL_TIMEOUT);
        let timeout = layers.timeout("stock");
        let handle = timeout.handle();
        assert_eq!(handle.timeout(), Some(CALL_TIMEOUT));

        let stock = timeout.layer(tower::service_fn(async |is_well: bool| {
            if !is_well {
                pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_millis(4)).await;
            Ok::<_, BoxError>(Response::new(()))
        }));
        for _ in 0..1_000 {
            stock.clone().oneshot(true).await.unwrap();
        }

        assert_eq!(handle.timeout(), Some(MIN_TIMEOUT));
        for _ in 0..100 {
            stock.clone().oneshot(false).await.unwrap_err();
        }
        assert_eq!(handle.timeout(), Some(MIN_TIMEOUT));
    }
}
