//! The shop's clients, without and with our layers. All that differs between the two sides is here.

use std::sync::Arc;
use std::time::Duration;

use tower::ServiceBuilder;
use tower::timeout::TimeoutLayer;
use tower::util::BoxCloneSyncService;
use watertight::Window;
use watertight::breaker::BreakerLayer;
use watertight::http::{HttpClassifier, HttpExt};
use watertight::metrics::Registry;

use crate::client::{self, Client, HttpClient, Stack};
use crate::shop::Shop;
use crate::upstream::{Upstream, Upstreams};

/// How long the shop waits for an upstream, on both sides: a shop that waits for ever would be too
/// easy to beat. Healthy upstreams answer within 15 ms.
const CALL_TIMEOUT: Duration = Duration::from_millis(500);

/// Opens the shop with clients that have timeouts and nothing else.
pub(crate) fn bare(upstreams: &Upstreams) -> Shop {
    let http = client::connect();
    let client = |upstream: &Arc<Upstream>| {
        let call = call(upstream, http.clone());
        Client::new(upstream.address(), call)
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
    let http = client::connect();
    let client = |upstream: &Arc<Upstream>| {
        let stack = ServiceBuilder::new()
            .layer(layers.breaker(upstream.name()))
            .service(call(upstream, http.clone()));
        Client::new(upstream.address(), BoxCloneSyncService::new(stack))
    };
    Shop {
        inventory: client(&upstreams.inventory),
        payments: client(&upstreams.payments),
        recommendations: client(&upstreams.recommendations),
        reviews: client(&upstreams.reviews),
    }
}

/// Makes our layers.
#[derive(Debug)]
pub(crate) struct Layers<'a> {
    pub(crate) registry: &'a Registry,
    /// A minute serves in production; in an incident of half a minute, a second does.
    pub(crate) open_for: Duration,
}

impl Layers<'_> {
    fn breaker(&self, name: &'static str) -> BreakerLayer<HttpClassifier> {
        BreakerLayer::builder(name)
            .http()
            .window(Window::calls(50))
            .open_for(self.open_for)
            .registry(self.registry)
            .build()
    }
}

/// One call to an upstream, as both sides make it.
fn call(upstream: &Arc<Upstream>, http: HttpClient) -> Stack {
    let upstream = Arc::clone(upstream);
    BoxCloneSyncService::new(
        ServiceBuilder::new()
            .layer(TimeoutLayer::new(CALL_TIMEOUT))
            .map_request(move |request| {
                upstream.note_call();
                request
            })
            .service(http),
    )
}
