//! Twenty processes that share a limit, on a virtual clock.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::time::{Instant, advance, sleep};
use tokio_test::task::spawn;
use watertight_core::{Key, Name};

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

/// Token buckets, one for each key, that are asked from everywhere.
#[derive(Clone)]
struct Central {
    buckets: Arc<Vec<(Key, TokenBucket<Direct>)>>,
    round_trips: Arc<AtomicU64>,
    /// How far it is, to there and back.
    away: Duration,
}

impl Store for Central {
    type Error = Infallible;
    type Asking = Pin<Box<dyn Future<Output = Result<Answer, Infallible>> + Send>>;

    fn ask(&self, order: &Order<'_>) -> Self::Asking {
        self.round_trips.fetch_add(1, Ordering::Relaxed);
        let (central, key, act) = (self.clone(), order.key, order.act);
        Box::pin(async move {
            central.go_half_way().await;
            let answer = central.decide(key, act);
            central.go_half_way().await;
            Ok(answer)
        })
    }
}

impl Central {
    fn new(keys: u64, away: Duration) -> Self {
        let quotas = Quotas::from(Quota::per_second(RATE));
        let bucket = || TokenBucket::new(&quotas, Direct::new(1), Instant::now());
        let buckets = (0..keys).map(|key| (Key::of(key), bucket()));
        Self {
            buckets: Arc::new(buckets.collect()),
            round_trips: Arc::default(),
            away,
        }
    }

    async fn go_half_way(&self) {
        if !self.away.is_zero() {
            sleep(self.away / 2).await;
        }
    }

    fn decide(&self, key: Option<Key>, act: Act) -> Answer {
        let now = Instant::now();
        let mut buckets = self.buckets.iter();
        let (_, bucket) = buckets
            .find(|(known, _)| Some(*known) == key)
            .expect("a key that is known");
        let (taken, decision) = match act {
            Act::TakeUpTo(most) => bucket.take_up_to(None, most, now),
            Act::Take(cost) => {
                let decision = bucket.take(None, cost, now);
                (if decision.admitted { cost } else { 0 }, decision)
            }
            other => panic!("{other:?} is not asked"),
        };
        Answer::new(decision, taken)
    }
}

struct Run {
    /// How many times the limit comes of each key.
    load: f64,
    lease: u64,
    keys: u64,
    away: Duration,
}

struct Ran {
    calls: u64,
    /// The share that passed, after the warm-up, of all that could.
    used: f64,
    round_trips: u64,
    /// The most that passed of a key in any time beyond the rate.
    beyond: f64,
}

/// What has passed of a key.
#[derive(Default)]
struct Passed {
    all: Arc<AtomicU64>,
    warm: u64,
    /// The least that it was beyond the rate, below zero.
    least: f64,
}

impl Passed {
    fn so_far(&self) -> u64 {
        self.all.load(Ordering::Relaxed)
    }
}

/// Returns by Zipf's law to which node a call comes.
fn by_zipf() -> impl FnMut() -> usize {
    let mut rng = StdRng::seed_from_u64(7);
    let all: f64 = (1..=NODES).map(|rank| 1.0 / rank as f64).sum();
    move || {
        let mut left = rng.random::<f64>() * all;
        let node = (1..NODES).find(|rank| {
            left -= 1.0 / *rank as f64;
            left < 0.0
        });
        node.unwrap_or(NODES) - 1
    }
}

/// Has calls of all keys come to all nodes.
async fn run(run: Run) -> Ran {
    let Run {
        load,
        lease,
        keys,
        away,
    } = run;
    let quotas = Quotas::from(Quota::per_second(RATE));
    let central = Central::new(keys, away);
    let nodes: Vec<_> = (0..NODES)
        .map(|_| Leased::new(central.clone(), lease))
        .collect();
    let mut order = Order {
        policy: Name::new("api"),
        key: None,
        rule: Rule::TokenBucket(&quotas),
        act: Act::Take(1),
        patience: Duration::MAX,
        timeout: Duration::MAX,
    };
    let mut node = by_zipf();
    let mut passed: Vec<Passed> = (0..keys).map(|_| Passed::default()).collect();
    let mut ran = Ran {
        calls: 0,
        used: 0.0,
        round_trips: 0,
        beyond: 0.0,
    };
    for ms in 0..SECONDS * 1_000 {
        let due = keys * (load * (RATE * (ms + 1)) as f64 / 1_000.0) as u64;
        while ran.calls < due {
            let key = ran.calls % keys;
            ran.calls += 1;
            order.key = Some(Key::of(key));
            let mut asking = nodes[node()].ask(&order);
            let all = Arc::clone(&passed[key as usize].all);
            let count = move |answer: Result<Answer, _>| {
                let is_admitted = answer.is_ok_and(|answer| answer.decision.admitted);
                all.fetch_add(u64::from(is_admitted), Ordering::Relaxed);
            };
            match spawn(&mut asking).poll() {
                Poll::Ready(answer) => count(answer),
                Poll::Pending => {
                    tokio::spawn(async move { count(asking.await) });
                }
            }
        }
        for passed in &mut passed {
            let excess = passed.so_far() as f64 - (RATE * ms) as f64 / 1_000.0;
            ran.beyond = ran.beyond.max(excess - passed.least);
            passed.least = passed.least.min(excess);
            if ms == WARM_UP * 1_000 {
                passed.warm = passed.so_far();
            }
        }
        advance(MS).await;
        // Those who wait for an answer that has come.
        tokio::task::yield_now().await;
    }
    let usable = load.min(1.0) * (keys * RATE * (SECONDS - WARM_UP)) as f64;
    let used: u64 = passed
        .iter()
        .map(|passed| passed.so_far() - passed.warm)
        .sum();
    ran.used = used as f64 / usable;
    ran.round_trips = central.round_trips.load(Ordering::Relaxed);
    ran
}

async fn check(load: f64, (lease, most): (u64, f64), keys: u64, away: Duration) {
    let ran = run(Run {
        load,
        lease,
        keys,
        away,
    })
    .await;

    let per_call = ran.round_trips as f64 / ran.calls as f64;
    let used = ran.used;
    let told = format!(
        "lease {lease}, load {load}, {keys} keys, {away:?} away: {per_call:.4} round trips a call, \
         {used:.4} used, {:.0} beyond",
        ran.beyond
    );
    println!("{told}");
    assert!(per_call <= most, "{told}");
    assert!(used >= 0.99, "{told}");
    let allowed = (RATE + NODES as u64 * lease + 2) as f64;
    assert!(ran.beyond <= allowed, "{told}");
}

const LEASES: [(u64, f64); 2] = [(10, 0.13), (50, 0.03)];

#[tokio::test(start_paused = true)]
async fn a_lease_saves_round_trips_and_wastes_no_more_than_a_hundredth_of_the_limit() {
    for lease in LEASES {
        for load in [0.8, 2.0] {
            check(load, lease, 1, Duration::ZERO).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn it_does_so_where_the_store_is_far_away_and_with_many_keys() {
    for lease in LEASES {
        for load in [0.8, 2.0] {
            for away in [MS, 5 * MS] {
                check(load, lease, 3, away).await;
            }
        }
    }
}
