//! Calls that matter, in a flood of others: 10 slots of 10 ms each, and 3,200 calls a second, of
//! which 200 matter.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Exp};
use tokio::time::{Instant, sleep, sleep_until};
use tower::{Layer, ServiceExt, service_fn};
use watertight_bulkhead::{BulkheadBuilder, BulkheadLayer, ByContext, Order, Triage};
use watertight_core::{AtResponse, ErrorsAreFailures, Priority, Unkeyed};
use watertight_metrics::Registry;

use crate::stage::{MS, SECOND};

type Builder<A = ByContext> = BulkheadBuilder<ErrorsAreFailures, AtResponse, Unkeyed, A>;

/// A call, and whether it matters.
#[derive(Clone, Copy, Debug)]
struct Asks(bool);

/// How many came, and how many of them were served.
#[derive(Debug, Default)]
struct Tally {
    came: AtomicU32,
    served: AtomicU32,
}

impl Tally {
    fn share(&self) -> f64 {
        f64::from(self.served.load(Relaxed)) / f64::from(self.came.load(Relaxed))
    }
}

/// Returns what shares are served of the calls that matter, and of the others.
async fn flood<A>(settings: impl FnOnce(Builder) -> Builder<A>) -> [f64; 2]
where
    A: Triage<Asks> + Clone + Send + 'static,
{
    let builder = BulkheadLayer::builder("payments", 10)
        .max_queue(50)
        .max_wait(SECOND)
        .registry(&Registry::new());
    let layer = settings(builder).build();
    let service = layer.layer(service_fn(|_: Asks| async {
        sleep(10 * MS).await;
        Ok::<_, Infallible>(())
    }));
    let tallies: [Arc<Tally>; 2] = Default::default();
    let mut rng = StdRng::seed_from_u64(7);
    let gap = Exp::new(3200.0).unwrap();
    let mut at = Instant::now();
    for _ in 0..16_000 {
        at += Duration::from_secs_f64(gap.sample(&mut rng));
        sleep_until(at).await;
        let matters = rng.random_range(0..16) == 0;
        let tally = Arc::clone(&tallies[usize::from(!matters)]);
        tally.came.fetch_add(1, Relaxed);
        let call = service.clone().oneshot(Asks(matters));
        tokio::spawn(async move {
            if call.await.is_ok() {
                tally.served.fetch_add(1, Relaxed);
            }
        });
    }
    sleep(2 * SECOND).await;
    tallies.map(|tally| tally.share())
}

fn priority(asks: &Asks) -> Priority {
    if asks.0 {
        Priority::Critical
    } else {
        Priority::Background
    }
}

/// Checks that those that matter are served, and others with what they leave of 1,000 a second.
fn assert_served([of_those_that_matter, of_others]: [f64; 2]) {
    assert!(of_those_that_matter >= 0.99, "{of_those_that_matter}");
    assert!((0.25..0.29).contains(&of_others), "{of_others}");
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_a_share_who_asks_for_less_is_served() {
    assert_served(
        flood(|it| {
            it.partition("live", 0.5)
                .partition_by(|asks: &Asks| asks.0.then_some("live"))
        })
        .await,
    );
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_a_share_is_served_while_another_asks_for_more_than_its_own() {
    let of = |asks: &Asks| Some(if asks.0 { "live" } else { "batch" });
    assert_served(
        flood(|it| {
            it.partition("live", 0.5)
                .partition("batch", 0.5)
                .partition_by(of)
        })
        .await,
    );
}

#[tokio::test(start_paused = true)]
async fn the_important_are_served() {
    assert_served(flood(|it| it.order(Order::Priority).priority(priority)).await);
}

#[tokio::test(start_paused = true)]
async fn those_for_whom_slots_are_reserved_are_served() {
    let reserve = |it: Builder| it.reserve(Priority::Critical, 0.3).priority(priority);

    let [critical, background] = flood(reserve).await;

    assert!(critical >= 0.99, "{critical}");
    // Of the seven slots that are left to them they pass up some, at times.
    assert!((0.17..0.23).contains(&background), "{background}");
}
