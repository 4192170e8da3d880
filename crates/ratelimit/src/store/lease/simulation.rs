//! Twenty processes that share a limit, on a virtual clock.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, advance};
use tokio_test::task::spawn;
use watertight_core::Name;

use super::Leased;
use crate::decision::Meter;
use crate::store::{Act, Answer, Order, Rule, Store};
use crate::token_bucket::TokenBucket;
use crate::words::Direct;
use crate::{Quota, Quotas};

const NODES: usize = 20;
const RATE: u64 = 1_000;
/// How long it takes until the burst is gone and each node has its leases.
const WARM_UP: u64 = 5;
const SECONDS: u64 = 30;
const MS: Duration = Duration::from_millis(1);

/// A token bucket that is asked from everywhere.
#[derive(Clone)]
struct Central {
    bucket: Arc<TokenBucket<Direct>>,
    round_trips: Arc<AtomicU64>,
}

impl Store for Central {
    type Error = Infallible;
    type Asking = Ready<Result<Answer, Infallible>>;

    fn ask(&self, order: &Order<'_>) -> Self::Asking {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let now = Instant::now();
        let (taken, decision) = match order.act {
            Act::TakeUpTo(most) => self.bucket.take_up_to(None, most, now),
            Act::Take(cost) => {
                let decision = self.bucket.take(None, cost, now);
                (if decision.admitted { cost } else { 0 }, decision)
            }
            other => panic!("{other:?} is not asked"),
        };
        ready(Ok(Answer::new(decision, taken)))
    }
}

struct Ran {
    calls: u64,
    admitted: u64,
    /// The share that passed, after the warm-up, of all that could.
    used: f64,
    round_trips: u64,
    /// The most that passed in any time beyond the rate.
    beyond: f64,
}

/// Has so many times the limit come, to each node by Zipf's law.
async fn run(load: f64, lease: u64) -> Ran {
    let quotas = Quotas::from(Quota::per_second(RATE));
    let bucket = TokenBucket::new(&quotas, Direct::new(1), Instant::now());
    let central = Central {
        bucket: Arc::new(bucket),
        round_trips: Arc::default(),
    };
    let nodes: Vec<_> = (0..NODES)
        .map(|_| Leased::new(central.clone(), lease))
        .collect();
    let order = Order {
        policy: Name::new("api"),
        key: None,
        rule: Rule::TokenBucket(&quotas),
        act: Act::Take(1),
        patience: Duration::MAX,
    };
    let mut rng = StdRng::seed_from_u64(7);
    let all: f64 = (1..=NODES).map(|rank| 1.0 / rank as f64).sum();
    let mut of_zipf = move || {
        let mut left = rng.random::<f64>() * all;
        (1..NODES).find(|rank| {
            left -= 1.0 / *rank as f64;
            left < 0.0
        })
    };

    let mut ran = Ran {
        calls: 0,
        admitted: 0,
        used: 0.0,
        round_trips: 0,
        beyond: 0.0,
    };
    let mut warm = 0;
    let mut least = 0.0_f64;
    for ms in 0..SECONDS * 1_000 {
        let due = (load * (RATE * (ms + 1)) as f64 / 1_000.0) as u64;
        while ran.calls < due {
            ran.calls += 1;
            let node = &nodes[of_zipf().unwrap_or(NODES) - 1];
            let Poll::Ready(Ok(answer)) = spawn(node.ask(&order)).poll() else {
                panic!("the store answers at once");
            };
            ran.admitted += u64::from(answer.decision.admitted);
        }
        let excess = ran.admitted as f64 - (RATE * ms) as f64 / 1_000.0;
        ran.beyond = ran.beyond.max(excess - least);
        least = least.min(excess);
        if ms == WARM_UP * 1_000 {
            warm = ran.admitted;
        }
        advance(MS).await;
    }
    let usable = load.min(1.0) * (RATE * (SECONDS - WARM_UP)) as f64;
    ran.used = (ran.admitted - warm) as f64 / usable;
    ran.round_trips = central.round_trips.load(Ordering::Relaxed);
    ran
}

#[tokio::test(start_paused = true)]
async fn a_lease_saves_round_trips_and_wastes_no_more_than_a_hundredth_of_the_limit() {
    for (lease, most) in [(10, 0.13), (50, 0.03)] {
        for load in [0.8, 2.0] {
            let ran = run(load, lease).await;

            let per_call = ran.round_trips as f64 / ran.calls as f64;
            let used = ran.used;
            println!(
                "lease {lease}, load {load}: {per_call:.4} round trips a call, {used:.4} used, {:.0} beyond",
                ran.beyond
            );
            assert!(per_call <= most, "lease {lease}, load {load}: {per_call}");
            assert!(used >= 0.99, "lease {lease}, load {load}: {used}");
            let allowed = (RATE + NODES as u64 * lease + 2) as f64;
            assert!(ran.beyond <= allowed, "lease {lease}, load {load}");
        }
    }
}
