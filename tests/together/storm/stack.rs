//! All parts of the defence around one server, each of which can be left out.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::spawn;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use watertight_breaker::BreakerLayer;
use watertight_bulkhead::BulkheadLayer;
use watertight_core::{Always, Backoff, Budget};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;
use watertight_timeout::{DeadlineLayer, PropagateDeadlineLayer, TimeoutLayer};

use super::load::{OUTAGE, SECOND, SERVED, offer};

/// What the server does about the deadlines of its callers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Inbound {
    Ignored,
    /// It takes the time that a call says it has left, which starts to run when the call arrives.
    /// So it is with `grpc-timeout`: what a call spent on its way, nobody knows.
    FromArrival,
    /// The time that a call spent on its way is taken off.
    FromSending,
}

/// Which parts there are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parts {
    pub(super) inbound: Inbound,
    /// Whether the queue of the server has a bound. Without one, it still does a tenth of a second's
    /// work at a time.
    pub(super) bound: bool,
    pub(super) budget: bool,
    pub(super) breaker: bool,
}

impl Parts {
    pub(super) const ALL: Self = Self {
        inbound: Inbound::FromArrival,
        bound: true,
        budget: true,
        breaker: true,
    };

    /// Those that are named. A `deadline*` is one [from sending](Inbound::FromSending).
    pub(super) fn named(names: &str) -> Self {
        let has = |name| names.split_whitespace().any(|named| named == name);
        Self {
            inbound: match (has("deadline"), has("deadline*")) {
                (_, true) => Inbound::FromSending,
                (true, _) => Inbound::FromArrival,
                (false, false) => Inbound::Ignored,
            },
            bound: has("bound"),
            budget: has("budget"),
            breaker: has("breaker"),
        }
    }
}

/// What is played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scene {
    /// How many calls are made a second.
    pub(super) offered: u32,
    pub(super) seconds: u32,
    /// Of as many calls that are sent in the outage, one arrives only at its end.
    pub(super) lost_one_in: u32,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// How many of the calls that began in each second were answered.
    pub(super) good: Vec<u32>,
    /// How many calls were sent, in each second.
    pub(super) sent: Vec<u32>,
    /// How many calls the server worked on whose caller had gone before the end.
    pub(super) in_vain: u32,
    /// How long the server had a call until it answered or refused it, at the most.
    pub(super) kept: Duration,
    /// How long a caller waited who got no answer, on average.
    pub(super) waited: Duration,
}

/// What goes over the network.
#[derive(Debug)]
struct Request {
    /// How long the caller waits from when it was sent.
    time_left: Option<Duration>,
    sent: Instant,
}

impl Request {
    fn new() -> Self {
        Self {
            time_left: None,
            sent: Instant::now(),
        }
    }
}

/// A service that answers one call after another, behind our layers: it works ahead on a tenth of a
/// second, and has as much again and a half waiting.
fn server(
    parts: Parts,
    seen: &Arc<Mutex<Seen>>,
    registry: &Registry,
) -> impl Service<Request, Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static {
    let deadline = DeadlineLayer::builder("server", SECOND)
        .read(move |request: &Request| match parts.inbound {
            Inbound::FromSending => Some(
                request
                    .time_left?
                    .saturating_sub(Instant::now() - request.sent),
            ),
            Inbound::Ignored | Inbound::FromArrival => request.time_left,
        })
        .registry(registry)
        .build();
    let bulkhead = BulkheadLayer::builder("server", SERVED as usize / 10);
    let bulkhead = if parts.bound {
        bulkhead
            .max_queue(SERVED as usize * 3 / 20)
            .max_wait(SECOND / 2)
    } else {
        bulkhead.max_queue(1 << 20).max_wait(3_600 * SECOND)
    };
    let busy_until = Arc::new(Mutex::new(Instant::now()));
    let seen = Arc::clone(seen);
    ServiceBuilder::new()
        .option_layer((parts.inbound != Inbound::Ignored).then_some(deadline))
        .layer(bulkhead.registry(registry).build())
        .service_fn(move |request: Request| {
            let answered = {
                let mut busy_until = busy_until.lock().unwrap();
                *busy_until = Instant::now().max(*busy_until) + SECOND / SERVED;
                *busy_until
            };
            let is_in_vain = answered > request.sent + SECOND;
            seen.lock().unwrap().in_vain += u32::from(is_in_vain);
            async move {
                sleep_until(answered).await;
                Ok::<_, Infallible>(())
            }
        })
}

/// Plays it.
pub(super) async fn play(parts: Parts, scene: Scene) -> Seen {
    let start = Instant::now();
    let registry = Registry::new();
    let seen = Arc::new(Mutex::new(Seen {
        sent: vec![0; scene.seconds as usize + 2],
        ..Seen::default()
    }));
    let server = server(parts, &seen, &registry);
    let noted = Arc::clone(&seen);
    // What a caller no longer waits for arrives all the same, and is worked on.
    let network = move |request: Request| {
        let second = (Instant::now() - start).as_secs() as u32;
        let nth = {
            let sent = &mut noted.lock().unwrap().sent;
            sent[second as usize] += 1;
            sent[second as usize]
        };
        let is_lost = OUTAGE.contains(&second) && nth % scene.lost_one_in == 0;
        let (server, noted) = (server.clone(), Arc::clone(&noted));
        let answer = spawn(async move {
            if is_lost {
                sleep_until(start + OUTAGE.end * SECOND).await;
            }
            let arrived = Instant::now();
            let answer = server.oneshot(request).await;
            let kept = &mut noted.lock().unwrap().kept;
            *kept = (*kept).max(Instant::now() - arrived);
            answer
        });
        async move { answer.await? }
    };

    let answers = offer(
        client(parts, network, &registry),
        scene.offered,
        scene.seconds,
    )
    .await;
    let seen = seen.lock().unwrap().clone();
    Seen {
        good: answers.good,
        waited: answers.waited,
        ..seen
    }
}

/// Our layers before the network.
fn client<S, F>(
    parts: Parts,
    network: S,
    registry: &Registry,
) -> impl Service<(), Response = (), Error = BoxError, Future: Send> + Clone + Send + 'static
where
    S: FnMut(Request) -> F + Clone + Send + 'static,
    F: Future<Output = Result<(), BoxError>> + Send + 'static,
{
    let budget = if parts.budget {
        Budget::ratio(0.1)
    } else {
        Budget::unlimited()
    };
    let breaker = BreakerLayer::builder("server")
        .open_for(SECOND)
        .registry(registry)
        .build();
    ServiceBuilder::new()
        .layer(
            RetryLayer::builder("server")
                .repeat(Always)
                .max_attempts(2)
                .backoff(Backoff::constant(Duration::ZERO))
                .budget(budget)
                .registry(registry)
                .build(),
        )
        .option_layer(parts.breaker.then_some(breaker))
        .layer(
            TimeoutLayer::builder("server")
                .limit(SECOND)
                .registry(registry)
                .build(),
        )
        .map_request(|()| Request::new())
        .layer(
            PropagateDeadlineLayer::builder("server")
                .write(|request: &mut Request, left| request.time_left = Some(left))
                .at_most(SECOND)
                .registry(registry)
                .build(),
        )
        .service_fn(network)
}
