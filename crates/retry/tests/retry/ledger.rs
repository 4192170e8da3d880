//! What a budget is owed, wherever calls are dropped, and whatever becomes of them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use tokio::runtime::Builder;
use tokio::time::{Instant, advance, sleep};
use tokio_test::task::{Spawn, spawn};
use tower::{BoxError, Layer, Service};
use watertight_core::{
    Budget, BudgetCall, Failure, FailureKind, Note, Outcome, RetriesExhausted, Signs,
};
use watertight_metrics::Registry;

use crate::stage::{Answer, BAD, Backend, GOOD, SECOND, builder, failure};

/// How many extra attempts each budget has.
const EXTRAS: u32 = 6;

/// Takes what the client is at fault for as wrong credentials.
#[derive(Clone, Copy, Debug)]
struct AtFaultIsUnauthorized;

impl Note<Outcome, RetriesExhausted> for AtFaultIsUnauthorized {
    fn note(&self, _: &mut Outcome, _: RetriesExhausted) {}
}

impl Signs<Outcome> for AtFaultIsUnauthorized {
    fn is_exhausted(&self, _: &Outcome) -> bool {
        false
    }

    fn is_unauthorized(&self, response: &Outcome) -> bool {
        *response == Outcome::failure(FailureKind::Client)
    }
}

/// What an instance says of its readiness.
#[derive(Clone, Copy, Debug)]
enum Mood {
    Ready,
    NotYet,
    Broken,
    Panics,
}

/// A backend that is in a mood for each further attempt.
#[derive(Clone)]
struct Moody {
    backend: Backend,
    moods: Arc<Mutex<Vec<Mood>>>,
}

impl Service<u32> for Moody {
    type Response = Outcome;
    type Error = BoxError;
    type Future = <Backend as Service<u32>>::Future;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mood = self.moods.lock().unwrap().pop();
        match mood.unwrap_or(Mood::Ready) {
            Mood::Ready => Poll::Ready(Ok(())),
            Mood::NotYet => Poll::Pending,
            Mood::Broken => Poll::Ready(Err("no route".into())),
            Mood::Panics => panic!("not even that"),
        }
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.backend.call(request)
    }
}

#[derive(Clone, Debug)]
enum Step {
    Call,
    Poll(Index),
    Drop(Index),
    Rest(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => Just(Step::Call),
        6 => any::<Index>().prop_map(Step::Poll),
        1 => any::<Index>().prop_map(Step::Drop),
        3 => (0..12_u32).prop_map(Step::Rest),
    ];
    vec(step, 0..80)
}

fn answers() -> impl Strategy<Value = Vec<Answer>> {
    let answer = prop_oneof![
        8 => Just(BAD),
        2 => Just(failure(FailureKind::Client)),
        1 => Just(GOOD),
        1 => Just(Answer::Hangs),
        1 => (1..5_u32).prop_map(|n| Answer::Takes(n * SECOND / 2)),
        1 => Just(Answer::Panics),
    ];
    vec(answer, 0..40)
}

fn moods() -> impl Strategy<Value = Vec<Mood>> {
    let mood = prop_oneof![
        6 => Just(Mood::Ready),
        3 => Just(Mood::NotYet),
        1 => Just(Mood::Broken),
        1 => Just(Mood::Panics),
    ];
    vec(mood, 0..40)
}

/// How many extra attempts there are, taken one after another or all at once.
fn left(budget: &Budget, at_once: bool) -> usize {
    let mut calls: Vec<_> = (0..2 * EXTRAS).map(|_| BudgetCall::new(budget)).collect();
    let failure = Failure::new(FailureKind::Server);
    let paid = calls.iter_mut().filter_map(|call| {
        let is_paid = call.withdraw(&failure, Instant::now);
        if !at_once {
            call.sent();
        }
        is_paid.then_some(())
    });
    paid.count()
}

/// Makes calls, polls and drops them as told, and returns how many extra attempts were sent.
async fn play(
    budget: &Budget,
    answers: &[Answer],
    moods: &[Mood],
    refreshes: bool,
    steps: &[Step],
) -> usize {
    let layer = builder()
        .notes(AtFaultIsUnauthorized)
        .on_unauthorized(move || async move {
            sleep(SECOND).await;
            refreshes.then_some(()).ok_or("no such user")
        })
        .attempt_timeout(2 * SECOND)
        .budget(budget.clone())
        .registry(&Registry::new())
        .build();
    let backend = Backend::new(answers.iter().copied());
    let mut service = layer.layer(Moody {
        backend: backend.clone(),
        moods: Arc::new(Mutex::new(moods.to_vec())),
    });
    let mut calls: Vec<Spawn<_>> = Vec::new();
    for step in steps {
        match step {
            Step::Call => calls.push(spawn(service.call(1))),
            Step::Poll(index) if !calls.is_empty() => {
                let index = index.index(calls.len());
                let polled = catch_unwind(AssertUnwindSafe(|| calls[index].poll()));
                if !matches!(polled, Ok(Poll::Pending)) {
                    drop(calls.swap_remove(index));
                }
            }
            Step::Drop(index) if !calls.is_empty() => {
                drop(calls.swap_remove(index.index(calls.len())));
            }
            Step::Rest(halves) => advance(*halves * SECOND / 2).await,
            Step::Poll(_) | Step::Drop(_) => {}
        }
    }
    drop(calls);
    assert_eq!(layer.handle().in_flight(), 0);
    let sent = backend.called().iter().filter(|it| it.attempt > 0).count();
    assert_eq!(layer.handle().snapshot().retries, sent as u64);
    sent
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_paid_for_was_sent_or_comes_back(
        answers in answers(),
        moods in moods(),
        refreshes: bool,
        steps in steps(),
    ) {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            // Nothing leaves the window meanwhile.
            let window = Budget::MAX_WINDOW;
            let floor = f64::from(EXTRAS) / window.as_secs_f64();
            let of_all = Budget::ratio(0.0).min_per_second(floor).window(window);
            let sent = play(&of_all, &answers, &moods, refreshes, &steps).await;
            prop_assert_eq!(left(&of_all, false), EXTRAS as usize - sent);

            let in_flight = Budget::concurrent(0.0, EXTRAS);
            play(&in_flight, &answers, &moods, refreshes, &steps).await;
            prop_assert_eq!(left(&in_flight, true), EXTRAS as usize);
            Ok(())
        })?;
    }
}
