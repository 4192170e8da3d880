//! A store of a test's own, and who asks it.

use std::time::Duration;

use watertight_core::{Key, Name};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Act, Answer, Order, Rule, Store};
use watertight_ratelimit::{LeakyBucket, Quota, Quotas, SlidingWindow};
use watertight_redis::{Error, RedisStore, RedisStoreBuilder};

use crate::harness::RedisServer;

/// How often a store is asked until it is well again: it may have to find out first that it is not
/// connected any more.
pub(crate) const TRIES: usize = 20;

/// Long enough for any answer of a server that is well, on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(10);

pub(crate) fn builder(url: String) -> RedisStoreBuilder {
    let builder = RedisStore::builder("limits", url).registry(&Registry::new());
    builder
        .response_timeout(PATIENT)
        .connection_timeout(PATIENT)
}

pub(crate) fn store(server: &RedisServer) -> RedisStore {
    builder(server.url()).build()
}

pub(crate) async fn ask(store: &RedisStore, rule: Rule<'_>, act: Act) -> Result<Answer, Error> {
    let order = Order {
        policy: Name::new("api"),
        key: Some(Key::of("alice@example.com")),
        rule,
        act,
        patience: Duration::ZERO,
        timeout: PATIENT,
    };
    store.ask(&order).await
}

pub(crate) async fn take(store: &RedisStore) -> Result<Answer, Error> {
    let quotas = Quota::per_hour(100).into();
    ask(store, Rule::TokenBucket(&quotas), Act::Take(1)).await
}

/// Asks until there is an answer, however often it has failed of late.
pub(crate) async fn take_at_last(store: &RedisStore) -> Answer {
    let mut last = None;
    for _ in 0..TRIES {
        store.breaker().reset();
        match take(store).await {
            Ok(answer) => return answer,
            Err(error) => last = Some(error),
        }
    }
    panic!("there is no answer: {last:?}");
}

pub(crate) fn remaining(answer: &Answer) -> u64 {
    answer.decision.status.remaining
}

pub(crate) fn rules(quotas: &Quotas) -> [Rule<'_>; 5] {
    let quota = &quotas.as_slice()[0];
    [
        Rule::TokenBucket(quotas),
        Rule::SlidingWindow(quotas, SlidingWindow::Approximate),
        Rule::SlidingWindow(quotas, SlidingWindow::Buckets(10)),
        Rule::SlidingWindow(quotas, SlidingWindow::Exact),
        Rule::LeakyBucket(quota, LeakyBucket::default()),
    ]
}
