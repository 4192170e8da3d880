//! Credentials that are refused, and fetched anew.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use futures_util::future::join_all;
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::{
    Always, Backoff, Budget, BudgetCall, Failure, FailureKind, Note, Outcome, RetriesExhausted,
    Signs,
};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

use crate::stage::SECOND;

/// A request whose first attempt fails.
const BREAKS_AT_FIRST: u32 = 77;

#[derive(Debug)]
struct Reset;

impl fmt::Display for Reset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("reset")
    }
}

impl Error for Reset {}

/// An answer is the credentials that were good, or nothing.
type Answer = Option<u32>;

/// Nothing is an answer to wrong credentials.
#[derive(Clone, Copy, Debug)]
struct NothingIsUnauthorized;

impl Note<Answer, RetriesExhausted> for NothingIsUnauthorized {
    fn note(&self, _: &mut Answer, _: RetriesExhausted) {}
}

impl Signs<Answer> for NothingIsUnauthorized {
    fn is_exhausted(&self, _: &Answer) -> bool {
        false
    }

    fn is_unauthorized(&self, answer: &Answer) -> bool {
        answer.is_none()
    }
}

/// A backend that takes credentials from `accepts` on, and whoever keeps and fetches them.
#[derive(Clone, Default)]
struct World {
    accepts: u32,
    held: Arc<AtomicU32>,
    fetches: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
    fails: bool,
}

impl World {
    fn service(
        &self,
        budget: Budget,
    ) -> impl Service<u32, Response = Answer, Error = BoxError, Future: Send> + Clone + use<> {
        let world = self.clone();
        let fetch = move || {
            let world = world.clone();
            async move {
                world.fetches.fetch_add(1, Ordering::Relaxed);
                sleep(SECOND).await;
                world.held.fetch_add(1, Ordering::Relaxed);
                if world.fails {
                    Err("no such user")
                } else {
                    Ok(())
                }
            }
        };
        let world = self.clone();
        let backend = service_fn(move |request: u32| {
            let is_first = world.calls.fetch_add(1, Ordering::Relaxed) == 0;
            let held = world.held.load(Ordering::Relaxed);
            let answer = (held >= world.accepts).then_some(held);
            async move {
                sleep(SECOND).await;
                if is_first && request == BREAKS_AT_FIRST {
                    return Err(Reset);
                }
                Ok(answer)
            }
        });
        RetryLayer::builder("payments")
            .repeat(Always)
            .backoff(Backoff::constant(5 * SECOND))
            .notes(NothingIsUnauthorized)
            .on_unauthorized(fetch)
            .budget(budget)
            .registry(&Registry::new())
            .build()
            .layer(backend)
    }

    fn seen(&self) -> (u32, u32) {
        let load = |count: &AtomicU32| count.load(Ordering::Relaxed);
        (load(&self.fetches), load(&self.calls))
    }
}

#[tokio::test(start_paused = true)]
async fn one_fetch_serves_all_who_wait() {
    let world = World {
        accepts: 1,
        ..World::default()
    };
    let service = world.service(Budget::unlimited());

    let answers = join_all((0..10).map(|n| service.clone().oneshot(n))).await;

    assert!(answers.into_iter().all(|it| it.unwrap() == Some(1)));
    assert_eq!(world.seen(), (1, 20));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_fetched_once_for_a_call() {
    let world = World {
        accepts: 2,
        ..World::default()
    };
    let service = world.service(Budget::unlimited());

    assert_eq!(service.oneshot(1).await.unwrap(), None);

    assert_eq!(world.seen(), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_lets_the_answer_go_up() {
    let world = World {
        accepts: 1,
        fails: true,
        ..World::default()
    };
    let service = world.service(Budget::unlimited());

    assert_eq!(service.oneshot(1).await.unwrap(), None);

    assert_eq!(world.seen(), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn without_budget_nothing_is_fetched() {
    let world = World {
        accepts: 1,
        ..World::default()
    };
    let service = world.service(Budget::ratio(0.0).min_per_second(0.0));

    assert_eq!(service.oneshot(1).await.unwrap(), None);

    assert_eq!(world.seen(), (0, 1));
}

/// Another call has fetched some while this one waited, and they are refused, too.
#[tokio::test(start_paused = true)]
async fn an_attempt_with_fresh_credentials_that_are_refused_fetches_others() {
    let world = World {
        accepts: 2,
        ..World::default()
    };
    let service = world.service(Budget::unlimited());

    let breaks = tokio::spawn(service.clone().oneshot(BREAKS_AT_FIRST));
    yield_now().await;
    let other = service.oneshot(1).await.unwrap();

    assert_eq!(other, None);
    assert_eq!(breaks.await.unwrap().unwrap(), Some(2));
    assert_eq!(world.seen().0, 2);
}

#[tokio::test(start_paused = true)]
async fn when_who_fetches_goes_away_the_next_in_turn_fetches() {
    let world = World {
        accepts: 1,
        ..World::default()
    };
    let service = world.service(Budget::unlimited());
    let first = tokio::spawn(service.clone().oneshot(1));
    let second = tokio::spawn(service.clone().oneshot(2));
    sleep(SECOND + SECOND / 2).await;

    first.abort();

    assert_eq!(second.await.unwrap().unwrap(), Some(1));
    assert_eq!(world.seen(), (2, 3));
}

/// Whoever asks for credentials that cannot be had asks once for all who wait, and not once for
/// each of them in turn.
#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_fails_for_all_who_wait() {
    let world = World {
        accepts: 9,
        fails: true,
        ..World::default()
    };
    let service = world.service(Budget::unlimited());
    let start = Instant::now();

    let answers = join_all((0..10).map(|n| service.clone().oneshot(n))).await;

    assert!(answers.into_iter().all(|it| it.unwrap().is_none()));
    assert_eq!(world.seen(), (1, 10));
    assert_eq!(Instant::now() - start, 2 * SECOND);

    assert_eq!(service.oneshot(1).await.unwrap(), None);
    assert_eq!(world.seen(), (2, 11), "who comes later tries again");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_that_fails_or_is_given_up_costs_nothing() {
    let budget = Budget::tokens(14);
    let world = World {
        accepts: 9,
        fails: true,
        ..World::default()
    };
    let service = world.service(budget.clone());
    assert_eq!(service.clone().oneshot(1).await.unwrap(), None);

    let dropped = tokio::spawn(service.clone().oneshot(2));
    sleep(SECOND + SECOND / 2).await;
    assert_eq!(world.seen(), (2, 2), "it fetches");
    dropped.abort();
    dropped.await.unwrap_err();

    let mut call = BudgetCall::new(&budget);
    assert!(call.withdraw(&Failure::new(FailureKind::Server), Instant::now));
}

/// A refusal that is a failure, too, would be counted a second time.
#[tokio::test(start_paused = true)]
async fn an_answer_is_given_up_for_one_reason() {
    let layer = RetryLayer::builder("payments")
        .classify_fn(|_: Result<&Answer, _>| Outcome::failure(FailureKind::Client))
        .repeat(Always)
        .notes(NothingIsUnauthorized)
        .on_unauthorized(async || Ok::<_, BoxError>(()))
        .budget(Budget::ratio(0.0).min_per_second(0.0))
        .registry(&Registry::new())
        .build();
    let refuses = service_fn(async |_: u32| Ok::<Answer, BoxError>(None));

    layer.layer(refuses).oneshot(1).await.unwrap();

    let mut given_up = layer.handle().snapshot().given_up;
    given_up.retain(|_, count| *count > 0);
    assert_eq!(given_up, BTreeMap::from([("budget", 1)]));
}
