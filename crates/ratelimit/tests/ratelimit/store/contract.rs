use std::convert::Infallible;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::task::{JoinError, JoinHandle};
use watertight_contract::{Answer as Is, Contract, Request, Rule, spawnable};
use watertight_core::{Key, Mode};
use watertight_metrics::Registry;
use watertight_ratelimit::store::{Answer, InStore, Order, Store};
use watertight_ratelimit::{
    Decision, LeakyBucketLayer, Quota, RateLimitBuilder, Rules, Status, TokenBucket,
    TokenBucketLayer,
};

/// Lets so many calls pass, at once and without an allocation.
#[derive(Clone, Debug)]
struct Counting {
    left: Arc<AtomicU64>,
}

impl Counting {
    fn of(left: u64) -> Self {
        Self {
            left: Arc::new(AtomicU64::new(left)),
        }
    }
}

impl Store for Counting {
    type Error = Infallible;
    type Asking = Ready<Result<Answer, Infallible>>;

    fn ask(&self, _: &Order<'_>) -> Self::Asking {
        let left = &self.left;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(1)
        });
        let decision = Decision {
            admitted: taken.is_ok(),
            status: Status::default(),
            retry_after: None,
        };
        ready(Ok(Answer::new(decision, u64::from(taken.is_ok()))))
    }
}

fn builder(store: Counting) -> RateLimitBuilder<TokenBucket, Rules, InStore<Counting>> {
    TokenBucketLayer::builder("contract", Quota::per_second(1))
        .registry(&Registry::new())
        .store(store)
}

#[test]
fn a_limit_in_a_store_keeps_the_contract() {
    Contract::new(|| builder(Counting::of(10_000)).build())
        .refuses_after(10_000, Is::Response)
        .check();
}

#[test]
fn a_limit_in_a_store_with_keys_a_total_and_plans_keeps_the_contract() {
    Contract::new(|| {
        builder(Counting::of(10_000))
            .key(|_: &Request| Key::of("all"))
            .total(Quota::per_second(20_000))
            .plan("pro", Quota::per_second(1))
            .plan_by(|_: &Request| Some("pro"))
            .build()
    })
    .refuses_after(10_000, Is::Response)
    .check();
}

#[test]
fn a_leaky_bucket_in_a_store_keeps_the_contract() {
    Contract::new(|| {
        LeakyBucketLayer::builder("contract", Quota::per_second(1))
            .registry(&Registry::new())
            .store(Counting::of(5_000))
            .build()
    })
    .refuses_after(5_000, Is::Response)
    .check();
}

#[test]
fn a_limit_in_a_store_in_shadow_keeps_the_contract() {
    Contract::new(|| builder(Counting::of(4)).mode(Mode::Shadow).build())
        .never_refuses("it only counts")
        .check();
}

#[test]
fn a_limit_in_a_store_that_is_off_keeps_the_contract() {
    Contract::new(|| builder(Counting::of(4)).mode(Mode::Off).build())
        .never_refuses("it does nothing")
        .check();
}

/// Answers what another store does, but not at once.
#[derive(Clone, Debug)]
struct Later(Counting);

impl Store for Later {
    type Error = JoinError;
    type Asking = JoinHandle<Answer>;

    fn ask(&self, order: &Order<'_>) -> Self::Asking {
        let asking = self.0.ask(order);
        tokio::spawn(async move {
            let Ok(answer) = asking.await;
            answer
        })
    }
}

fn later(calls: u64) -> RateLimitBuilder<TokenBucket, Rules, InStore<Later>> {
    TokenBucketLayer::builder("contract", Quota::per_second(1))
        .registry(&Registry::new())
        .store(Later(Counting::of(calls)))
}

#[test]
fn a_limit_in_a_store_that_answers_later_keeps_the_contract() {
    Contract::new(|| later(10_000).total(Quota::per_second(20_000)).build())
        .refuses_after(10_000, Is::Response)
        .except(Rule::AnswersAtOnce, "it waits for the store")
        .except(Rule::NoSelfWake, "the store wakes it")
        .except(Rule::NoSpinning, "the store is polled first")
        .allocations(1)
        .check();
}

#[test]
fn a_limit_in_a_store_that_answers_later_keeps_the_contract_in_shadow() {
    // The answer is a task, and so is what waits for it.
    Contract::new(|| later(4).mode(Mode::Shadow).build())
        .never_refuses("it only counts")
        .allocations(2)
        .check();
}

#[tokio::test]
async fn a_call_that_asks_a_store_can_be_spawned() {
    let call = spawnable!(builder(Counting::of(1)).build(), 2, |n| n + 1);

    assert_eq!(tokio::spawn(call).await.unwrap().unwrap(), 3);
}
