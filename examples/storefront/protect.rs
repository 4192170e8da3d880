//! The shop's clients, without and with our layers (`layers.rs`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use hyper::body::{Body, Incoming};
use tower::service_fn;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use watertight::BoxError;
use watertight::prelude::{Service, ServiceBuilder};

use crate::client::{self, Client};
use crate::layers::Layers;
use crate::shop::Shop;
use crate::upstream::{Upstream, Upstreams};

/// How long the shop waits for an upstream at most, on both sides: a shop that waits for ever would
/// be too easy to beat. Healthy upstreams answer within 15 ms.
pub(crate) const CALL_TIMEOUT: Duration = Duration::from_millis(500);

/// Opens the shop with clients that have timeouts and nothing else.
pub(crate) fn bare(upstreams: &Upstreams) -> Shop {
    let client = |upstream: &Arc<Upstream>| {
        let stack = ServiceBuilder::new()
            .layer(TimeoutLayer::new(CALL_TIMEOUT))
            .service(call(upstream));
        Client::new(upstream, BoxCloneSyncService::new(stack))
    };
    Shop {
        inventory: client(&upstreams.inventory),
        payments: client(&upstreams.payments),
        recommendations: client(&upstreams.recommendations),
        reviews: client(&upstreams.reviews),
    }
}

/// Opens the shop with clients that have our layers around the same calls.
///
/// From the outside in: a retry waits without a place in the bulkhead, and its attempts, like those
/// of a hedge, are one call each to the rest. The breaker stands outside of the bulkhead, so that
/// what it refuses takes no place and what is refused there is no failure of the upstream. The
/// timeout has a call in flight give its place back, and does not count how long it waited for one.
/// The deadline goes onto the request last, when all the waiting is over.
pub(crate) fn protected(upstreams: &Upstreams, layers: &Layers<'_>) -> Shop {
    let client = |upstream: &Arc<Upstream>| {
        let name = upstream.name();
        let stack = ServiceBuilder::new()
            .layer(layers.retry(name))
            .layer(layers.breaker(name))
            .layer(layers.bulkhead(name))
            .layer(layers.timeout(name))
            .layer(layers.propagate(name))
            .service(call(upstream));
        Client::new(upstream, BoxCloneSyncService::new(stack))
    };
    let hedged_client = |upstream: &Arc<Upstream>| {
        let name = upstream.name();
        let stack = ServiceBuilder::new()
            .layer(layers.retry(name))
            .layer(layers.hedge(name))
            .layer(layers.breaker(name))
            .layer(layers.bulkhead(name))
            .layer(layers.timeout(name))
            .layer(layers.propagate(name))
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
    let client = client::connect();
    service_fn(move |request| {
        let in_flight = upstream.start_call();
        let answer = client.request(request);
        async move {
            let _in_flight = in_flight;
            Ok(answer.await?)
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use http::HeaderValue;
    use tokio::task::JoinSet;
    use watertight::hedge::HedgeConfig;
    use watertight::metrics::Registry;

    use super::*;
    use crate::extra::Extra;
    use crate::fault::Fault;
    use crate::layers::CALLS;

    /// The layers that each client has.
    const EVERY_CLIENT: [&str; 5] = [
        "breaker",
        "bulkhead",
        "propagate_deadline",
        "retry",
        "timeout",
    ];

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
    async fn each_upstream_has_layers_of_its_own() {
        let it = Protected::open().await;

        for upstream in it.upstreams.all() {
            let layers = it.registry.snapshot().instances.into_iter();
            let kinds: BTreeSet<_> = layers
                .filter(|layer| layer.name.as_str() == upstream.name())
                .map(|layer| layer.kind)
                .collect();

            let mut wanted = BTreeSet::from(EVERY_CLIENT);
            if upstream.name() == "inventory" {
                wanted.insert("hedge");
            }
            assert_eq!(kinds, wanted);
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
    async fn a_call_that_took_all_the_time_is_not_made_again() {
        let it = Protected::open().await;
        it.upstreams.reviews.set_fault(Fault::Hang);

        it.shop.reviews.get().await.unwrap_err();

        assert_eq!(it.extra().retries, 0);
    }

    #[tokio::test]
    async fn an_upstream_that_hangs_has_no_more_calls_than_its_bulkhead_allows() {
        let it = Protected::open().await;
        it.upstreams.payments.set_fault(Fault::Hang);

        let mut orders = JoinSet::new();
        for _ in 0..2 * CALLS {
            let payments = it.shop.payments.clone();
            orders.spawn(async move { payments.post(None).await });
        }
        let answers = orders.join_all().await;

        assert!(answers.iter().all(Result::is_err));
        assert_eq!(it.upstreams.most_stuck(), CALLS as u64);
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
