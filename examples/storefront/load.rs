//! The visitors: an open loop. Each comes at a fixed time, whether or not the shop has answered
//! those before, and the time it takes is counted from when it was to come.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, Request, Uri};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};
use watertight::BoxError;

use crate::client::{HttpClient, IDEMPOTENCY_KEY};
use crate::listen::MAX_STREAMS;
use crate::page::{Page, Verdict, Visitor};
use crate::shop::MISSING;
use crate::stats::Stats;

/// A page that comes later than this is of no use to a visitor.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// When a visitor closes the window.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(10);

/// By its value a service knows how many milliseconds the answer is waited for.
pub(crate) const DEADLINE_MS: HeaderName = HeaderName::from_static("x-deadline-ms");

/// When visitors come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    pub(crate) length: Duration,
    pub(crate) rps: NonZeroU32,
}

impl Schedule {
    fn visits(&self) -> u64 {
        self.length.as_secs() * u64::from(self.rps.get())
    }

    /// Returns when the n-th visitor comes, from the start.
    fn due(&self, n: u64) -> Duration {
        Duration::from_nanos(n * 1_000_000_000 / u64::from(self.rps.get()))
    }
}

/// Sends all visitors, and returns when the last has left.
pub(crate) async fn visit(shop: SocketAddr, schedule: Schedule, stats: &Arc<Stats>) {
    let client = connect();
    let mut visits = JoinSet::new();
    for n in 0..schedule.visits() {
        let due = schedule.due(n);
        sleep_until(schedule.start + due).await;
        while visits.try_join_next().is_some() {}

        let visitor = Visitor {
            number: n,
            page: Page::of_visit(n),
            due,
        };
        stats.offered(visitor);
        if visits.len() < MAX_STREAMS as usize {
            let visit = Visit {
                shop,
                visitor,
                start: schedule.start,
            };
            visits.spawn(visit.run(client.clone(), Arc::clone(stats)));
        } else {
            stats.turned_away(visitor);
        }
    }
    visits.join_all().await;
}

/// All visitors share one connection: thousands may be waiting, and each connection takes two of
/// the few files that a process may have open.
fn connect() -> HttpClient<Empty<Bytes>> {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    legacy::Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build(connector)
}

#[derive(Debug)]
struct Visit {
    shop: SocketAddr,
    visitor: Visitor,
    start: Instant,
}

impl Visit {
    async fn run(self, client: HttpClient<Empty<Bytes>>, stats: Arc<Stats>) {
        let visitor = self.visitor;
        let due = self.start + visitor.due;
        let late_by = Instant::now() - due;
        stats.sent(late_by);

        let mut answer = pin!(self.ask(client, PATIENCE.saturating_sub(late_by)));
        let in_time = timeout_at(due + PATIENCE, answer.as_mut()).await;
        let verdict = match &in_time {
            Ok(Ok(verdict)) => *verdict,
            Ok(Err(_)) | Err(_) => Verdict::Failed,
        };
        stats.answered(visitor, Instant::now() - self.start, verdict);
        if in_time.is_err() {
            // It counts as failed by now, but how long it takes is part of the picture.
            let _ = timeout_at(due + GIVE_UP, answer).await;
        }
        stats.took(visitor, (Instant::now() - due).min(GIVE_UP));
    }

    /// Asks for the page, and says how long its visitor waits: a shop may heed that, or not.
    async fn ask(
        &self,
        client: HttpClient<Empty<Bytes>>,
        patience: Duration,
    ) -> Result<Verdict, BoxError> {
        let Visitor { number, page, .. } = self.visitor;
        let uri = Uri::builder()
            .scheme("http")
            .authority(self.shop.to_string())
            .path_and_query(page.path())
            .build()?;
        let request = Request::builder()
            .method(page.method())
            .uri(uri)
            .header(IDEMPOTENCY_KEY, number)
            .header(DEADLINE_MS, patience.as_millis().to_string())
            .body(Empty::<Bytes>::new())?;
        let response = client.request(request).await?;
        let verdict = if !response.status().is_success() {
            Verdict::Failed
        } else if response.headers().contains_key(MISSING) {
            Verdict::Degraded
        } else {
            Verdict::Good
        };
        response.into_body().collect().await?;
        Ok(verdict)
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::incident::Phases;
    use crate::listen;
    use crate::stats::Totals;

    #[tokio::test]
    async fn visitors_come_at_an_even_pace() {
        let schedule = Schedule {
            start: Instant::now(),
            length: Duration::from_secs(6),
            rps: NonZeroU32::new(300).unwrap(),
        };

        assert_eq!(schedule.visits(), 1_800);
        assert_eq!(schedule.due(0), Duration::ZERO);
        assert_eq!(schedule.due(150), Duration::from_millis(500));
        assert_eq!(schedule.due(1_800), schedule.length);
    }

    /// Sends the first ten visitors to a shop without a checkout, all of them `late_by`.
    async fn ten_visitors(late_by: Duration) -> Totals {
        let shop = Router::new()
            .route(Page::Product.path(), get(|| async {}))
            .route(Page::Feed.path(), get(|| async { [(MISSING, "reviews")] }));
        let listener = listen::bind(0).await.unwrap();
        let address = listener.local_addr().unwrap();
        let stats = Arc::new(Stats::new(Phases::default()));
        let visits = (0..10).map(|n| Visit {
            shop: address,
            visitor: Visitor {
                number: n,
                page: Page::of_visit(n),
                due: Duration::ZERO,
            },
            start: Instant::now() - late_by,
        });
        let visits: JoinSet<()> = visits
            .map(|visit| visit.run(connect(), Arc::clone(&stats)))
            .collect();
        tokio::select! {
            _ = visits.join_all() => stats.take_totals(),
            never = listen::serve(&listener, &shop) => match never {},
        }
    }

    #[tokio::test]
    async fn visitors_are_counted_by_what_they_were_given() {
        let tally = ten_visitors(Duration::ZERO).await.tally;

        assert_eq!((tally.good, tally.degraded, tally.failed), (5, 3, 2));
    }

    #[tokio::test]
    async fn visitors_have_waited_since_they_were_due() {
        let totals = ten_visitors(Duration::from_secs(60)).await;

        assert_eq!((totals.late, totals.tally.failed), (10, 10));
        assert_eq!(totals.tally.latency(0.01), Some(GIVE_UP));
    }
}
