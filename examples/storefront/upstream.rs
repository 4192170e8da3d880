use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::sleep;
use watertight::BoxError;

use crate::fault::{Fault, STALL};
use crate::listen;
use crate::stats::share;

/// How long a port that was given up is asked for again. Somebody else may have it for a moment.
const REBIND_PAUSE: Duration = Duration::from_millis(20);

/// The services that the shop is made of. They stop when this is dropped.
#[derive(Debug)]
pub(crate) struct Upstreams {
    pub(crate) inventory: Arc<Upstream>,
    pub(crate) payments: Arc<Upstream>,
    pub(crate) recommendations: Arc<Upstream>,
    pub(crate) reviews: Arc<Upstream>,
    _servers: JoinSet<()>,
}

impl Upstreams {
    pub(crate) async fn start() -> Result<Self, BoxError> {
        let mut servers = JoinSet::new();
        let stock = json!({ "in_stock": 7 });
        let charge = json!({ "charged": true });
        let umbrellas = json!(["umbrella", "raincoat", "wellingtons"]);
        let stars = json!([{ "stars": 5, "text": "Keeps the water out." }]);
        Ok(Self {
            inventory: Upstream::start("inventory", 4, stock, &mut servers).await?,
            payments: Upstream::start("payments", 15, charge, &mut servers).await?,
            recommendations: Upstream::start("recommendations", 10, umbrellas, &mut servers)
                .await?,
            reviews: Upstream::start("reviews", 8, stars, &mut servers).await?,
            _servers: servers,
        })
    }

    pub(crate) fn all(&self) -> [&Arc<Upstream>; 4] {
        [
            &self.inventory,
            &self.payments,
            &self.recommendations,
            &self.reviews,
        ]
    }

    pub(crate) fn find(&self, name: &str) -> Option<&Arc<Upstream>> {
        self.all()
            .into_iter()
            .find(|upstream| upstream.name == name)
    }

    /// Returns how many calls were sent to upstreams that could not answer them.
    pub(crate) fn dead_calls(&self) -> u64 {
        self.all()
            .iter()
            .map(|upstream| upstream.dead_calls())
            .sum()
    }

    /// Returns the most calls to one upstream that were in flight while it kept them waiting.
    pub(crate) fn most_stuck(&self) -> u64 {
        let most = self.all().map(|upstream| upstream.most_stuck());
        most.into_iter().max().unwrap_or_default()
    }
}

/// One HTTP service on a port of its own, whose fault can be switched.
#[derive(Debug)]
pub(crate) struct Upstream {
    name: &'static str,
    address: SocketAddr,
    fault: watch::Sender<Fault>,
    dead_calls: AtomicU64,
    in_flight: AtomicU64,
    /// The most calls that were in flight while it kept them waiting.
    most_stuck: AtomicU64,
    /// The calls that began during a fault that takes some of them only, and those that it took.
    tried: AtomicU64,
    lost: AtomicU64,
}

impl Upstream {
    async fn start(
        name: &'static str,
        millis: u64,
        answer: Value,
        servers: &mut JoinSet<()>,
    ) -> Result<Arc<Self>, BoxError> {
        let listener = listen::bind(0).await?;
        let (fault, faults) = watch::channel(Fault::None);
        let service = Arc::new(Service {
            delay: Duration::from_millis(millis),
            answer,
            fault: faults.clone(),
            answers: AtomicU64::new(0),
        });
        let app = Router::new().fallback(answer_as_told).with_state(service);
        let address = listener.local_addr()?;
        servers.spawn(live(listener, address, app, faults));
        Ok(Arc::new(Self {
            name,
            address,
            fault,
            dead_calls: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            most_stuck: AtomicU64::new(0),
            tried: AtomicU64::new(0),
            lost: AtomicU64::new(0),
        }))
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn fault(&self) -> Fault {
        *self.fault.borrow()
    }

    pub(crate) fn set_fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Notes a call that a client is about to send. It is in flight until the [`Call`] is dropped.
    pub(crate) fn start_call(self: &Arc<Self>) -> Call {
        let fault = self.fault();
        if fault.is_dead() {
            self.dead_calls.fetch_add(1, Ordering::Relaxed);
        }
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        if fault.is_stuck() {
            self.most_stuck.fetch_max(in_flight, Ordering::Relaxed);
        }
        Call {
            upstream: Arc::clone(self),
        }
    }

    /// Returns how many calls were sent while the upstream could not answer them.
    pub(crate) fn dead_calls(&self) -> u64 {
        self.dead_calls.load(Ordering::Relaxed)
    }

    /// Returns the most calls that were in flight while the upstream kept them waiting.
    pub(crate) fn most_stuck(&self) -> u64 {
        self.most_stuck.load(Ordering::Relaxed)
    }

    /// Notes what the shop has of a call that began during `fault`, whatever its layers did for it.
    pub(crate) fn note_end(&self, fault: Fault, is_lost: bool) {
        if fault.is_partial() {
            self.tried.fetch_add(1, Ordering::Relaxed);
            self.lost.fetch_add(is_lost.into(), Ordering::Relaxed);
        }
    }

    /// Returns which share of the shop's calls was lost while some were to be.
    pub(crate) fn lost_share(&self) -> f64 {
        let lost = self.lost.load(Ordering::Relaxed);
        share(lost, self.tried.load(Ordering::Relaxed))
    }
}

/// A call in flight.
#[derive(Debug)]
pub(crate) struct Call {
    upstream: Arc<Upstream>,
}

impl Drop for Call {
    fn drop(&mut self) {
        self.upstream.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Listens whenever the fault is not [`Fault::Refuse`].
async fn live(
    mut listener: TcpListener,
    address: SocketAddr,
    app: Router,
    mut faults: watch::Receiver<Fault>,
) {
    loop {
        tokio::select! {
            never = listen::serve(&listener, &app) => match never {},
            _ = faults.wait_for(|fault| *fault == Fault::Refuse) => {}
        }
        drop(listener);

        if faults
            .wait_for(|fault| *fault != Fault::Refuse)
            .await
            .is_err()
        {
            return;
        }
        listener = loop {
            match TcpListener::bind(address).await {
                Ok(listener) => break listener,
                Err(_) => sleep(REBIND_PAUSE).await,
            }
        };
    }
}

#[derive(Debug)]
struct Service {
    delay: Duration,
    answer: Value,
    fault: watch::Receiver<Fault>,
    answers: AtomicU64,
}

async fn answer_as_told(State(service): State<Arc<Service>>) -> Response {
    let fault = *service.fault.borrow();
    match fault {
        Fault::Hang => future::pending().await,
        Fault::Slow(delay) => sleep(delay).await,
        Fault::Stall(percent) if service.is_hit(percent) => sleep(STALL).await,
        Fault::None | Fault::Refuse | Fault::Stall(_) => sleep(service.delay).await,
        Fault::Errors(percent) => {
            sleep(service.delay).await;
            if service.is_hit(percent) {
                return StatusCode::INTERNAL_SERVER_ERROR.into_response();
            }
        }
    }
    Json(service.answer.clone()).into_response()
}

impl Service {
    /// Whether a fault that hits `percent` of the answers hits the next.
    fn is_hit(&self, percent: u8) -> bool {
        is_hit(self.answers.fetch_add(1, Ordering::Relaxed), percent)
    }
}

/// Scatters exactly `percent` hits over each hundred answers in a row, so that a run repeats.
fn is_hit(n: u64, percent: u8) -> bool {
    const COPRIME_TO_100: u64 = 61;
    (n % 100) * COPRIME_TO_100 % 100 < percent.into()
}

#[cfg(test)]
impl Upstream {
    /// Waits until connections are refused.
    pub(crate) async fn closed(&self) {
        while tokio::net::TcpStream::connect(self.address).await.is_ok() {
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::{Client, connect};
    use tower::ServiceExt;
    use tower::util::BoxCloneSyncService;

    fn client(upstream: &Arc<Upstream>) -> Client {
        let stack = connect().map_err(BoxError::from);
        Client::new(upstream, BoxCloneSyncService::new(stack))
    }

    #[tokio::test]
    async fn an_upstream_that_went_away_comes_back_on_its_port() {
        let upstreams = Upstreams::start().await.unwrap();
        let client = client(&upstreams.reviews);
        client.get().await.unwrap();

        upstreams.reviews.set_fault(Fault::Refuse);
        upstreams.reviews.closed().await;
        client.get().await.unwrap_err();
        upstreams.reviews.set_fault(Fault::None);

        while client.get().await.is_err() {}
    }

    #[tokio::test]
    async fn only_calls_to_the_dead_are_noted() {
        let upstreams = Upstreams::start().await.unwrap();
        let slow = Fault::Slow(Duration::from_secs(3));
        for fault in [
            Fault::None,
            Fault::Errors(100),
            Fault::Stall(100),
            Fault::Hang,
            Fault::Refuse,
            slow,
        ] {
            upstreams.reviews.set_fault(fault);
            upstreams.reviews.start_call();
        }

        assert_eq!(upstreams.dead_calls(), 3);
    }

    #[tokio::test]
    async fn calls_are_stuck_from_their_start_to_their_end_while_it_hangs() {
        let upstreams = Upstreams::start().await.unwrap();
        let reviews = &upstreams.reviews;
        let well = [(); 3].map(|()| reviews.start_call());
        assert_eq!(upstreams.most_stuck(), 0);

        reviews.set_fault(Fault::Hang);
        let _first = reviews.start_call();
        drop(well);
        let _second = reviews.start_call();
        assert_eq!(upstreams.most_stuck(), 4);

        upstreams.inventory.set_fault(Fault::Refuse);
        let _refused = [(); 5].map(|()| upstreams.inventory.start_call());
        assert_eq!(upstreams.most_stuck(), 4);
    }

    #[tokio::test]
    async fn a_share_of_the_answers_are_errors() {
        let upstreams = Upstreams::start().await.unwrap();
        let client = client(&upstreams.reviews);
        upstreams.reviews.set_fault(Fault::Errors(30));

        let mut errors = 0;
        for _ in 0..100 {
            errors += u32::from(client.get().await.is_err());
        }

        assert_eq!(errors, 30);
        let lost = upstreams.reviews.lost_share();
        assert!((lost - 0.3).abs() < f64::EPSILON);
    }

    #[tokio::test]
    async fn only_calls_that_had_a_chance_count_as_lost() {
        let upstreams = Upstreams::start().await.unwrap();
        let slow = Fault::Slow(Duration::from_secs(3));
        for fault in [Fault::None, Fault::Hang, Fault::Refuse, slow] {
            upstreams.reviews.note_end(fault, true);
        }
        assert!(upstreams.reviews.lost_share().abs() < f64::EPSILON);

        upstreams.reviews.note_end(Fault::Stall(50), true);
        upstreams.reviews.note_end(Fault::Errors(50), false);

        let lost = upstreams.reviews.lost_share();
        assert!((lost - 0.5).abs() < f64::EPSILON);
    }

    #[test]
    fn any_hundred_answers_in_a_row_have_that_many_hits() {
        for percent in 0..=100 {
            for start in [0, 1, 57, 1_000] {
                let hits = (start..start + 100).filter(|&n| is_hit(n, percent)).count();

                assert_eq!(hits, usize::from(percent));
            }
        }
    }
}
