//! The contract of all layers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use http::HeaderValue;
use http::header::RETRY_AFTER;
use tower::layer::Layer;
use tower::{BoxError, Service, ServiceBuilder};
use watertight_contract::{Answer, Contract, Probe, Request, Response, spawnable};
use watertight_core::Mode;
use watertight_http::{ObeyServerBuilder, ObeyServerLayer};
use watertight_metrics::Registry;

/// After so many calls the server asks to wait.
const CALLS: u32 = 5_000;

fn builder() -> ObeyServerBuilder {
    ObeyServerLayer::builder("contract").registry(&Registry::new())
}

/// Puts the layer between what speaks HTTP to it on both sides.
fn over_http(
    obey: ObeyServerLayer,
) -> impl Layer<
    Probe,
    Service: Service<Request, Response = Response, Error = BoxError, Future: Send>
                 + Clone
                 + Send
                 + Sync
                 + 'static,
> + Clone
+ Send
+ Sync
+ 'static {
    let calls = Arc::new(AtomicU32::new(0));
    ServiceBuilder::new()
        .map_request(http::Request::new)
        .map_response(http::Response::into_body)
        .layer(obey)
        .map_request(http::Request::into_body)
        .map_response(move |response: Response| answer(response, &calls))
        .into_inner()
}

fn answer(response: Response, calls: &AtomicU32) -> http::Response<Response> {
    let mut answer = http::Response::new(response);
    if calls.fetch_add(1, Ordering::Relaxed) + 1 >= CALLS {
        *answer.status_mut() = http::StatusCode::TOO_MANY_REQUESTS;
        // Longer than the suite waits for anything.
        let hours = HeaderValue::from_static("7200");
        answer.headers_mut().insert(RETRY_AFTER, hours);
    }
    answer
}

#[test]
fn a_client_that_obeys_keeps_the_contract() {
    Contract::new(|| over_http(builder().build()))
        .refuses_after(CALLS as usize, Answer::Response)
        .check();
}

#[test]
fn a_client_that_obeys_in_shadow_keeps_the_contract() {
    Contract::new(|| over_http(builder().mode(Mode::Shadow).build()))
        .never_refuses("it only counts")
        .check();
}

#[test]
fn a_client_that_does_not_obey_keeps_the_contract() {
    Contract::new(|| over_http(builder().mode(Mode::Off).build()))
        .never_refuses("it does nothing")
        .check();
}

#[tokio::test]
async fn a_call_that_obeys_can_be_spawned() {
    let request = http::Request::new(());
    let call = spawnable!(builder().build(), request, |_| http::Response::new(()));

    tokio::spawn(call).await.unwrap().unwrap();
}
