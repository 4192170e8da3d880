use std::convert::Infallible;
use std::future::ready;

use http::{Request, Response};
use tower::{Layer, ServiceExt, service_fn};
use watertight_core::Mode;
use watertight_http::HttpExt;
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer};

use super::stage::S;

/// Sends calls whose callers say zero through a gateway that passes on what it gets, and returns how
/// many reach the next service, and what they said of zero there.
async fn reached(mode: Mode) -> (usize, usize) {
    let registry = Registry::new();
    let inbound = DeadlineLayer::builder("inbound", 10 * S)
        .http()
        .mode(mode)
        .registry(&registry)
        .build();
    let outbound = PropagateDeadlineLayer::builder("next")
        .http()
        .mode(mode)
        .registry(&registry)
        .build();
    let next = |request: Request<()>| {
        let mut response = Response::new(http_body_util::Empty::<bytes::Bytes>::new());
        *response.headers_mut() = request.headers().clone();
        ready(Ok::<_, Infallible>(response))
    };
    let gateway = inbound.layer(outbound.layer(service_fn(next)));
    let (mut reached, mut say_zero) = (0, 0);
    for header in ["x-deadline-ms", "grpc-timeout"] {
        for _ in 0..20 {
            let zero = if header == "grpc-timeout" { "0n" } else { "0" };
            let request = Request::builder().header(header, zero).body(()).unwrap();
            if let Ok(response) = gateway.clone().oneshot(request).await {
                reached += 1;
                let said = response.headers().get(header);
                say_zero += usize::from(said.is_some_and(|said| said == zero));
            }
        }
    }
    (reached, say_zero)
}

#[tokio::test(start_paused = true)]
async fn a_spared_call_gets_through_a_gateway_that_passes_headers_on() {
    assert_eq!(reached(Mode::Enforce).await, (4, 0));
}

#[tokio::test(start_paused = true)]
async fn in_shadow_what_is_said_stays() {
    assert_eq!(reached(Mode::Shadow).await, (40, 40));
}
