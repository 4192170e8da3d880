//! The shop's clients, without and with our layers. All that differs between the two sides is here.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use watertight::http::{HttpClassifier, HttpNotes, HttpRepeat};
use watertight::metrics::Registry;
use watertight::prelude::*;
use watertight::{Backoff, BoxError, Budget, Window};

use crate::client::{self, Client};
use crate::shop::Shop;
use crate::upstream::{Upstream, Upstreams};

/// How long the shop waits for an upstream, on both sides: a shop that waits for ever would be too
/// easy to beat. Healthy upstreams answer within 15 ms.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);

/// How many retries there may be for each call of the shop.
pub(crate) const RETRIES: f64 = 0.1;

/// How many hedges there may be for each call that can have one.
pub(crate) const HEDGES: f64 = 0.05;

/// Opens the shop with clients that have timeouts and nothing else.
pub(crate) fn bare(upstreams: &Upstreams) -> Shop {
    let client = |upstream: &Arc<Upstream>| {
        let stack = BoxCloneSyncService::new(call(upstream));
        Client::new(upstream, stack)
    };
    Shop {
        inventory: client(&upstreams.inventory),
        payments: client(&upstreams.payments),
        recommendations: client(&upstreams.recommendations),
        reviews: client(&upstreams.reviews),
    }
}

/// Opens the shop with clients that have our layers around the same calls.
pub(crate) fn protected(upstreams: &Upstreams, layers: &Layers<'_>) -> Shop {
    let client = |upstream: &Arc<Upstream>| {
        let stack = ServiceBuilder::new()
            .layer(layers.retry(upstream.name()))
            .layer(layers.breaker(upstream.name()))
            .service(call(upstream));
        Client::new(upstream, BoxCloneSyncService::new(stack))
    };
    let hedged_client = |upstream: &Arc<Upstream>| {
        let stack = ServiceBuilder::new()
            .layer(layers.retry(upstream.name()))
            .layer(layers.hedge(upstream.name()))
            .layer(layers.breaker(upstream.name()))
            .service(call(upstream));
        Client::new(upstream, BoxCloneSyncService::new(stack))
    };
    Shop {
        inventory: hedged_client(&upstreams.inventory),
        payments: client(&upstreams.payments),
        recommendations: client(&upstreams.recommendations),
        reviews: client(&upstreams.reviews),
    }
}

/// Makes our layers.
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
    fn retry(&self, name: &'static str) -> RetryLayer<HttpClassifier, HttpRepeat, HttpNotes> {
        RetryLayer::builder(name)
            .http()
            .max_attempts(3)
            .backoff(Backoff::exponential(
                Duration::from_millis(25),
                Duration::from_millis(250),
            ))
            // A call that has timed out is not made again. So none takes longer than two that do,
            // and a page that needs two after each other still comes before its visitor leaves.
            .max_elapsed(CALL_TIMEOUT)
            .budget(self.retries.clone())
            .registry(self.registry)
            .build()
    }

    /// It has a budget of its own, so that no bad hour of retries takes the hedges away.
    fn hedge(&self, name: &'static str) -> HedgeLayer<HttpClassifier, HttpRepeat> {
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

    fn breaker(&self, name: &'static str) -> BreakerLayer<HttpClassifier> {
        BreakerLayer::builder(name)
            .http()
            .window(Window::calls(50))
            .open_for(self.open_for)
            .registry(self.registry)
            .build()
    }
}

/// One call to an upstream, as both sides make it. What layers make of its body differs.
fn call<B>(
    upstream: &Arc<Upstream>,
) -> impl Service<Request<B>, Response = Response<Incoming>, Error = BoxError, Future: Send>
+ Clone
+ Send
+ Sync
+ 'static
where
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + Unpin + 'static,
{
    let upstream = Arc::clone(upstream);
    ServiceBuilder::new()
        .layer(TimeoutLayer::new(CALL_TIMEOUT))
        .map_request(move |request| {
            upstream.note_call();
            request
        })
        .service(client::connect())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;
    use watertight::hedge::HedgeConfig;

    use super::*;
    use crate::extra::Extra;
    use crate::fault::Fault;

    /// A shop with our layers.
    struct Protected {
        upstreams: Upstreams,
        shop: Shop,
        registry: Registry,
    }

    impl Protected {
        async fn open() -> Self {
            let upstreams = Upstreams::start().await.unwrap();
            let registry = Registry::new();
            let layers = Layers::new(&registry, Duration::from_secs(60));
            Self {
                shop: protected(&upstreams, &layers),
                upstreams,
                registry,
            }
        }

        fn extra(&self) -> Extra {
            Extra::of(&self.registry.snapshot())
        }
    }

    #[tokio::test]
    async fn what_fails_now_and_then_is_asked_again() {
        let it = Protected::open().await;
        it.upstreams.reviews.set_fault(Fault::Errors(1));

        it.shop.reviews.get().await.unwrap();

        assert_eq!(it.extra().retries, 1);
    }

    #[tokio::test]
    async fn an_order_is_charged_again_only_under_its_key() {
        let it = Protected::open().await;
        it.upstreams.payments.set_fault(Fault::Errors(100));

        it.shop.payments.post(None).await.unwrap_err();
        assert_eq!(it.extra().retries, 0);

        let key = HeaderValue::from_static("order-1");
        it.shop.payments.post(Some(&key)).await.unwrap_err();
        assert_eq!(it.extra().retries, 2);
    }

    #[tokio::test]
    async fn a_call_that_has_timed_out_is_not_made_again() {
        let it = Protected::open().await;
        it.upstreams.reviews.set_fault(Fault::Hang);

        it.shop.reviews.get().await.unwrap_err();

        assert_eq!(it.extra().retries, 0);
    }

    #[tokio::test]
    async fn a_call_that_stalls_is_answered_by_a_hedge() {
        let it = Protected::open().await;
        for _ in 0..HedgeConfig::MIN_SAMPLES {
            it.shop.inventory.get().await.unwrap();
        }
        it.upstreams.inventory.set_fault(Fault::Stall(1));

        it.shop.inventory.get().await.unwrap();

        assert!(it.extra().hedges_won > 0);
    }
}
