//! The visitors: an open loop. Each comes at a fixed time, whether or not the shop has answered
//! those before, and the time it takes is counted from when it was to come.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::listen::MAX_STREAMS;
use crate::page::{Page, Verdict, Visitor};
use crate::proxy::Proxy;
use crate::stats::Stats;

/// A page that comes later than this is of no use to a visitor.
pub(crate) const PATIENCE: Duration = Duration::from_secs(2);

/// When a visitor closes the window.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(10);

/// How many pages are asked for in a second from one address.
pub(crate) const SHARE: u32 = 20;

/// Where visitors come from: addresses for tests of load (RFC 2544).
const FIRST_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// When visitors come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Schedule {
    pub(crate) start: Instant,
    pub(crate) length: Duration,
    pub(crate) rps: NonZeroU32,
}

impl Schedule {
    pub(crate) fn visits(&self) -> u64 {
        let millis = u64::try_from(self.length.as_millis()).unwrap_or(u64::MAX);
        millis.saturating_mul(self.rps.get().into()) / 1_000
    }

    /// Returns when the n-th visitor comes, from the start.
    pub(crate) fn due(&self, n: u64) -> Duration {
        Duration::from_nanos(n * 1_000_000_000 / u64::from(self.rps.get()))
    }

    /// Returns where the n-th visitor comes from. The more there are, the more addresses.
    fn address(&self, n: u64) -> Ipv4Addr {
        let addresses = self.rps.get().div_ceil(SHARE);
        let nth = u32::try_from(n % u64::from(addresses)).unwrap_or_default();
        Ipv4Addr::from_bits(FIRST_ADDRESS.to_bits() + nth)
    }
}

/// Sends all visitors, and returns when the last has left.
pub(crate) async fn visit(shop: SocketAddr, schedule: Schedule, stats: &Arc<Stats>) {
    let proxy = Proxy::new(shop);
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
                visitor,
                from: schedule.address(n),
                start: schedule.start,
            };
            visits.spawn(visit.run(proxy.clone(), Arc::clone(stats)));
        } else {
            stats.turned_away(visitor);
        }
    }
    visits.join_all().await;
}

#[derive(Debug)]
struct Visit {
    visitor: Visitor,
    from: Ipv4Addr,
    start: Instant,
}

impl Visit {
    async fn run(self, proxy: Proxy, stats: Arc<Stats>) {
        let visitor = self.visitor;
        let due = self.start + visitor.due;
        let late_by = Instant::now() - due;
        stats.sent(late_by);

        let patience = PATIENCE.saturating_sub(late_by);
        let answer = proxy.ask(visitor.page, visitor.number, self.from, patience);
        let mut answer = pin!(answer);
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
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::routing::get;

    use super::*;
    use crate::incident::Phases;
    use crate::listen;
    use crate::shop::MISSING;
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

    #[tokio::test]
    async fn visitors_take_turns_to_come_from_as_many_addresses_as_have_a_share_each() {
        let from = |rps, n| {
            let schedule = Schedule {
                start: Instant::now(),
                length: Duration::from_secs(6),
                rps: NonZeroU32::new(rps).unwrap(),
            };
            schedule.address(n).to_string()
        };

        assert_eq!(from(300, 0), "198.18.0.0");
        assert_eq!(from(300, 14), "198.18.0.14");
        assert_eq!(from(300, 15), "198.18.0.0");
        assert_eq!(from(301, 15), "198.18.0.15");
        assert_eq!(from(1, 7), "198.18.0.0");
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
            visitor: Visitor {
                number: n,
                page: Page::of_visit(n),
                due: Duration::ZERO,
            },
            from: FIRST_ADDRESS,
            start: Instant::now() - late_by,
        });
        let proxy = Proxy::new(address);
        let visits: JoinSet<()> = visits
            .map(|visit| visit.run(proxy.clone(), Arc::clone(&stats)))
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
