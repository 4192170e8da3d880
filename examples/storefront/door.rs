//! The shop's front door, without and with our layers.

use std::time::Duration;

use axum::Router;
use tower::limit::GlobalConcurrencyLimitLayer;
use watertight::bulkhead::Order;
use watertight::http::{RespondLayer, TrustedProxies};
use watertight::metrics::Registry;
use watertight::prelude::*;

use crate::load::{PATIENCE, SHARE};

/// How many pages the shop works on at a time. A healthy day needs about eight of them at 300 pages
/// a second.
const WORKERS: usize = 32;

/// What our layers here are called.
const NAME: &str = "shop";

/// The visitors of a second at most wait in the queue: what is left of their patience is for the
/// page.
const MAX_QUEUE: usize = 300;
const MAX_WAIT: Duration = Duration::from_secs(1);

/// A client may ask for twice what one does on a healthy day.
pub(crate) const CLIENT: Quota = Quota::per_second(2 * SHARE as u64);

/// Where the proxy is that says for whom it asks. What others say of themselves counts for nothing.
const PROXIES: [&str; 1] = ["127.0.0.1"];

/// Who finds all workers busy waits until one is not, though he may have left by then.
pub(crate) fn bare(pages: Router) -> Router {
    pages.layer(GlobalConcurrencyLimitLayer::new(WORKERS))
}

/// No client has more than its quota. Nobody is worked for, or has a place in the queue, after he
/// has left. Who would wait in vain hears of it when he comes.
///
/// From the outside in: what is refused becomes an answer, what is beyond a quota has cost nothing by
/// then, the deadline runs while a visitor waits in the queue, and the queue is before the workers. While the clients keep workers from being
/// stuck nobody waits here at all: this is for when they do not.
pub(crate) fn protected(pages: Router, registry: &Registry) -> Router {
    let proxies = TrustedProxies::x_forwarded_for(PROXIES).expect("this is an address");
    let limit = TokenBucketLayer::builder(NAME, CLIENT)
        .http()
        .key_by(PeerKey::new().behind(proxies))
        .registry(registry)
        .build();
    let deadline = DeadlineLayer::builder(NAME, PATIENCE)
        .http()
        .registry(registry)
        .build();
    let bulkhead = BulkheadLayer::builder(NAME, WORKERS)
        .http()
        .max_queue(MAX_QUEUE)
        .max_wait(MAX_WAIT)
        // Once there is a standing queue, who comes last is served first: he still waits.
        .order(Order::CoDel)
        .registry(registry)
        .build();
    pages.layer(
        ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(limit)
            .layer(deadline)
            .layer(bulkhead),
    )
}

#[cfg(test)]
mod tests {
    use std::future::{pending, poll_fn};
    use std::net::Ipv4Addr;
    use std::sync::Arc;
    use std::task::Poll;

    use axum::body::Body;
    use axum::http::{Request, StatusCode};
    use axum::routing::get;
    use tokio::sync::Semaphore;
    use tokio::time::{Instant, timeout};
    use watertight::http::Peer;

    use super::*;
    use crate::proxy::{DEADLINE_MS, X_FORWARDED_FOR};

    /// Returns what a visitor from the n-th address is told, if he is within a day.
    async fn visit(shop: Router, n: usize, patience: Duration) -> Option<StatusCode> {
        let request = Request::builder()
            .uri("/")
            .header(DEADLINE_MS, patience.as_millis().to_string())
            .header(X_FORWARDED_FOR, Ipv4Addr::from_bits(n as u32).to_string())
            .extension(Peer(([127, 0, 0, 1], 0).into()))
            .body(Body::empty())
            .unwrap();
        let day = Duration::from_secs(86_400);
        let answer = timeout(day, shop.oneshot(request)).await.ok()?;
        Some(answer.unwrap().status())
    }

    /// A shop whose pages never come, and how many more of them it could work on.
    fn hanging_shop() -> (Router, Arc<Semaphore>) {
        let work = Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        let page = Arc::clone(&work);
        let page = async move || {
            let _work = page.acquire().await.unwrap();
            pending::<()>().await;
        };
        (Router::new().route("/", get(page)), work)
    }

    fn pages_in_work(work: &Semaphore) -> usize {
        Semaphore::MAX_PERMITS - work.available_permits()
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_is_worked_for_after_he_has_left() {
        let (shop, work) = hanging_shop();
        let shop = protected(shop, &Registry::new());
        let start = Instant::now();

        let status = visit(shop, 0, Duration::from_millis(300)).await;

        assert_eq!(status, Some(StatusCode::GATEWAY_TIMEOUT));
        assert_eq!(Instant::now() - start, Duration::from_millis(300));
        assert_eq!(pages_in_work(&work), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_the_workers_and_the_queue_full_hears_of_it_at_once() {
        let (shop, work) = hanging_shop();
        let shop = protected(shop, &Registry::new());
        let start = Instant::now();

        let mut visits: Vec<_> = (0..WORKERS + MAX_QUEUE)
            .map(|n| Box::pin(visit(shop.clone(), n, PATIENCE)))
            .collect();
        poll_fn(|cx| {
            for visit in &mut visits {
                assert!(visit.as_mut().poll(cx).is_pending());
            }
            Poll::Ready(())
        })
        .await;
        let status = visit(shop, WORKERS + MAX_QUEUE, PATIENCE).await;

        assert_eq!(status, Some(StatusCode::SERVICE_UNAVAILABLE));
        assert_eq!(Instant::now(), start);
        assert_eq!(pages_in_work(&work), WORKERS);
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_more_than_the_quota_hears_of_it_and_others_do_not_notice() {
        let shop = Router::new().route("/", get(async || "a page"));
        let shop = protected(shop, &Registry::new());
        for _ in 0..CLIENT.capacity() {
            let status = visit(shop.clone(), 1, PATIENCE).await;
            assert_eq!(status, Some(StatusCode::OK));
        }

        let refused = visit(shop.clone(), 1, PATIENCE).await;
        let other = visit(shop, 2, PATIENCE).await;

        assert_eq!(refused, Some(StatusCode::TOO_MANY_REQUESTS));
        assert_eq!(other, Some(StatusCode::OK));
    }

    #[tokio::test(start_paused = true)]
    async fn without_layers_all_wait_whether_they_have_left_or_not() {
        let (shop, _work) = hanging_shop();
        let status = visit(bare(shop), 0, PATIENCE).await;

        assert_eq!(status, None);
    }
}
