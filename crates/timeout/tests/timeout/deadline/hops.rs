//! Deadlines over several services, in the headers of HTTP, on simulated time.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::util::BoxCloneSyncService;
use tower::{BoxError, Layer, ServiceBuilder, ServiceExt, service_fn};
use watertight_core::{Context, Hops, Mode, Reason, Rejection};
use watertight_http::HttpExt;
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer};

use super::stage::{MS, S};

type Body = Full<Bytes>;
type Hop = BoxCloneSyncService<Request<Body>, (), BoxError>;

/// How a service came to know its deadline.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Seen {
    hop: &'static str,
    remains: Duration,
    chain: String,
}

#[derive(Clone, Default)]
struct Journal(Arc<Mutex<Vec<Seen>>>);

impl Journal {
    fn note(&self, hop: &'static str, request: &Request<Body>) {
        let chain = request.headers().get("x-deadline-chain");
        self.0.lock().unwrap().push(Seen {
            hop,
            remains: Context::current().remaining(Instant::now()).unwrap(),
            chain: chain.map_or("", |it| it.to_str().unwrap()).to_owned(),
        });
    }

    fn read(&self) -> Vec<(&'static str, Duration, String)> {
        let seen = self.0.lock().unwrap();
        let each = seen.iter().cloned();
        each.map(|it| (it.hop, it.remains, it.chain)).collect()
    }
}

/// A service that works for some time, and then asks the `next` one.
fn hop(name: &'static str, works: Duration, next: Option<Hop>, journal: &Journal) -> Hop {
    let journal = journal.clone();
    let inbound = DeadlineLayer::builder(name, 60 * S)
        .http()
        .hop(name)
        .registry(&Registry::new())
        .build();
    let outbound = PropagateDeadlineLayer::builder(name)
        .http()
        .reserve(Duration::ZERO)
        .chain(true)
        .registry(&Registry::new())
        .build();
    let next = next.map(|next| {
        let next = next.map_response(Response::new);
        BoxCloneSyncService::new(outbound.layer(next))
    });
    let work = service_fn(move |request: Request<Body>| {
        let (journal, next) = (journal.clone(), next.clone());
        async move {
            journal.note(name, &request);
            sleep(works).await;
            let answer = match next {
                Some(next) => next
                    .oneshot(Request::default())
                    .await
                    .map(Response::into_body),
                None => Ok(()),
            };
            answer.map(|()| Response::new(Body::default()))
        }
    });
    let service = ServiceBuilder::new()
        .map_response(|_| ())
        .layer(inbound)
        .service(work);
    BoxCloneSyncService::new(service)
}

fn request(headers: &[(&'static str, &str)]) -> Request<Body> {
    let mut request = Request::default();
    for (name, value) in headers {
        request.headers_mut().insert(*name, value.parse().unwrap());
    }
    request
}

#[tokio::test(start_paused = true)]
async fn each_hop_sees_the_deadline_of_the_root_less_what_was_spent() {
    let journal = Journal::default();
    let payments = hop("payments", S, None, &journal);
    let orders = hop("orders", 4 * S, Some(payments), &journal);
    let gateway = hop("gateway", 7 * S, Some(orders), &journal);

    let answer = gateway
        .oneshot(request(&[("x-deadline-ms", "30000")]))
        .await;

    assert!(answer.is_ok());
    assert_eq!(
        journal.read(),
        [
            ("gateway", 30 * S, String::new()),
            ("orders", 23 * S, "gateway=7000".to_owned()),
            ("payments", 19 * S, "gateway=7000, orders=4000".to_owned()),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn the_first_hop_that_is_late_ends_the_call_and_the_others_are_not_called() {
    let journal = Journal::default();
    let payments = hop("payments", S, None, &journal);
    let orders = hop("orders", 4 * S, Some(payments), &journal);
    let gateway = hop("gateway", 7 * S, Some(orders), &journal);
    let began = Instant::now();

    let answer = gateway.oneshot(request(&[("grpc-timeout", "9S")])).await;

    let error = answer.unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::DeadlineExceeded);
    assert_eq!(Instant::now() - began, 9 * S);
    let seen = journal.read();
    assert_eq!(seen.len(), 2);
    assert_eq!((seen[1].0, seen[1].1), ("orders", 2 * S));
    // Nobody goes on with it.
    sleep(100 * S).await;
    assert_eq!(journal.read().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_hop_without_time_for_the_next_does_not_call_it() {
    let journal = Journal::default();
    let orders = hop("orders", S, None, &journal);
    let gateway = hop("gateway", 7 * S - MS / 2, Some(orders), &journal);

    // Half a millisecond is left then, of which `x-deadline-ms` cannot speak.
    let answer = gateway.oneshot(request(&[("x-deadline-ms", "7000")])).await;

    let error = answer.unwrap_err();
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::DeadlineExceeded);
    assert_eq!(journal.read().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_told_nothing_else_gets_a_chain_that_begins_here() {
    let journal = Journal::default();
    let orders = hop("orders", S, None, &journal);
    let gateway = hop("gateway", 3 * S, Some(orders), &journal);

    let long = "x=1, ".repeat(1000);
    let answer = gateway
        .oneshot(request(&[("x-deadline-chain", &long)]))
        .await;

    assert!(answer.is_ok());
    let expected = ("orders", 57 * S, "gateway=3000".to_owned());
    assert_eq!(journal.read()[1], expected);
}

#[tokio::test(start_paused = true)]
async fn the_next_service_is_told_of_the_hops_where_that_is_asked_for_and_enforced() {
    for (chain, mode, is_told) in [
        (true, Mode::Enforce, true),
        (false, Mode::Enforce, false),
        (true, Mode::Shadow, false),
        (true, Mode::Off, false),
    ] {
        let outbound = PropagateDeadlineLayer::builder("next")
            .http()
            .chain(chain)
            .mode(mode)
            .registry(&Registry::new())
            .build();
        let next = outbound.layer(service_fn(|request: Request<Body>| async move {
            let is_told = request.headers().contains_key("x-deadline-chain");
            Ok::<_, BoxError>(Response::new(is_told))
        }));
        let context = Context {
            deadline: Some(Instant::now() + S),
            hops: Some(Hops::arrived("orders".into(), None, Instant::now())),
            ..Context::default()
        };

        let told = context.scope(next.oneshot(request(&[]))).await;

        assert_eq!(told.unwrap().into_body(), is_told, "{mode:?}");
    }
}
