//! One client that asks for a hundred times what others do.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use crate::listen::MAX_STREAMS;
use crate::load::{GIVE_UP, SHARE, Schedule};
use crate::page::{Page, Verdict};
use crate::proxy::Proxy;

/// More than the workers of the shop are good for: one page takes each of them some 20 ms.
pub(crate) const RPS: NonZeroU32 = NonZeroU32::new(100 * SHARE).expect("not zero");

/// None of those that visitors come from.
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 66);

/// What became of the client that asked for too much.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Abuser {
    pub(crate) asked: u64,
    /// The pages that it was given, whether whole or not, in time or not.
    pub(crate) served: u64,
    /// How often it was told that it asks for too much.
    pub(crate) refused: u64,
    /// From when it came to when it had its last answer.
    pub(crate) stayed: Duration,
}

/// Buys all that it can, and returns when it has had its last answer.
pub(crate) async fn abuse(shop: SocketAddr, schedule: Schedule) -> Abuser {
    sleep_until(schedule.start).await;
    let came = Instant::now();
    let proxy = Proxy::new(shop);
    let mut abuser = Abuser::default();
    let mut orders = JoinSet::new();
    for n in 0..schedule.visits() {
        sleep_until(schedule.start + schedule.due(n)).await;
        while let Some(order) = orders.try_join_next() {
            abuser.count(order.ok().flatten());
        }
        abuser.asked += 1;
        if orders.len() < MAX_STREAMS as usize {
            orders.spawn(order(proxy.clone(), n));
        }
    }
    for order in orders.join_all().await {
        abuser.count(order);
    }
    abuser.stayed = Instant::now() - came;
    abuser
}

async fn order(proxy: Proxy, number: u64) -> Option<Verdict> {
    let answer = proxy.ask(Page::Checkout, number, ADDRESS, GIVE_UP);
    timeout(GIVE_UP, answer).await.ok()?.ok()
}

impl Abuser {
    fn count(&mut self, order: Option<Verdict>) {
        match order {
            Some(Verdict::Good | Verdict::Degraded) => self.served += 1,
            Some(Verdict::Refused) => self.refused += 1,
            Some(Verdict::Failed) | None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use axum::Router;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::post;

    use super::*;
    use crate::listen;
    use crate::proxy::X_FORWARDED_FOR;

    #[tokio::test]
    async fn all_that_it_asks_for_comes_from_one_address_and_is_counted() {
        let orders = Arc::new(AtomicU64::new(0));
        let checkout = move |headers: HeaderMap| {
            let answer = match orders.fetch_add(1, Ordering::Relaxed) {
                _ if headers[X_FORWARDED_FOR] != ADDRESS.to_string() => StatusCode::BAD_REQUEST,
                0..3 => StatusCode::OK,
                3..10 => StatusCode::TOO_MANY_REQUESTS,
                _ => StatusCode::BAD_GATEWAY,
            };
            ready(answer)
        };
        let shop = Router::new().route(Page::Checkout.path(), post(checkout));
        let listener = listen::bind(0).await.unwrap();
        let schedule = Schedule {
            start: Instant::now(),
            length: Duration::from_millis(10),
            rps: RPS,
        };

        let abuser = tokio::select! {
            abuser = abuse(listener.local_addr().unwrap(), schedule) => abuser,
            never = listen::serve(&listener, &shop) => match never {},
        };

        assert_eq!((abuser.asked, abuser.served, abuser.refused), (20, 3, 7));
        assert!(!abuser.stayed.is_zero());
    }
}
