//! What decisions cost, in time and in memory of Redis. The times are for those who read them: nothing
//! depends on them.

use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;
use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Order, Rule, Store};
use watertight_ratelimit::{LeakyBucket, Quota, Quotas, SlidingWindow};
use watertight_redis::RedisStore;

use crate::harness::{RedisServer, query};

const PATIENT: Duration = Duration::from_secs(30);

const CALLERS: u64 = 64;

/// The ways to count, by the names of their keys.
fn rules(quotas: &Quotas) -> [(&'static str, Rule<'_>); 5] {
    let leaky = LeakyBucket {
        queue: 1_000_000,
        ..LeakyBucket::default()
    };
    [
        ("token", Rule::TokenBucket(quotas)),
        ("leaky", Rule::LeakyBucket(&quotas.as_slice()[0], leaky)),
        (
            "window",
            Rule::SlidingWindow(quotas, SlidingWindow::Approximate),
        ),
        (
            "window10",
            Rule::SlidingWindow(quotas, SlidingWindow::Buckets(10)),
        ),
        ("log", Rule::SlidingWindow(quotas, SlidingWindow::Exact)),
    ]
}

/// Takes one of each of so many keys, one after another, and returns how long each took.
async fn take(store: &RedisStore, rule: Rule<'_>, keys: std::ops::Range<u64>) -> Vec<Duration> {
    let mut times = Vec::new();
    for key in keys {
        let order = Order {
            policy: Name::new("api"),
            key: Some(Key::of(key % 1_000)),
            rule,
            act: Act::Take(1),
            patience: Duration::MAX,
            timeout: Duration::from_secs(10),
        };
        let begin = Instant::now();
        assert_eq!(store.ask(&order).await.expect("an answer").taken, 1);
        times.push(Instant::now() - begin);
    }
    times.sort_unstable();
    times
}

#[tokio::test]
#[ignore = "measures"]
async fn what_a_decision_costs() {
    let server = RedisServer::start();
    let mut connection = server.connect();
    let store = RedisStore::builder("limits", server.url())
        .registry(&Registry::new())
        .response_timeout(PATIENT)
        .connection_timeout(PATIENT)
        .breaker(watertight_breaker::BreakerConfig::default())
        .build();
    let quotas = Quotas::from(Quota::per_hour(10_000));

    for (name, rule) in rules(&quotas) {
        take(&store, rule, 0..1_000).await;
        let alone = take(&store, rule, 0..5_000).await;

        let begin = Instant::now();
        let mut callers = JoinSet::new();
        for caller in 0..CALLERS {
            let (store, quotas) = (store.clone(), quotas.clone());
            callers.spawn(async move {
                let (_, rule) = rules(&quotas)
                    .into_iter()
                    .find(|(known, _)| *known == name)
                    .expect("a way to count");
                take(&store, rule, caller..caller + 500).await.len()
            });
        }
        let together: usize = callers.join_all().await.into_iter().sum();
        let rate = together as f64 / (Instant::now() - begin).as_secs_f64();

        let key = format!("watertight:{{api:{}}}:{name}", Key::of(7_u64));
        let bytes: u64 = query(&mut connection, &["MEMORY", "USAGE", &key]);
        assert_eq!((alone.len(), together), (5_000, CALLERS as usize * 500));
        println!(
            "{name}: alone p50 {:?}, p99 {:?}; {CALLERS} callers {rate:.0} a second; {bytes} bytes a key",
            alone[2_500], alone[4_950]
        );
    }
}
