//! Calls that are dropped, and services that panic.

use std::future::{Ready, pending, ready};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use futures_util::FutureExt;
use tokio::time::advance;
use tokio_test::{assert_pending, task};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::{Budget, Outcome};
use watertight_metrics::Registry;

use crate::stage::{Answer, BAD, SECOND, Stage, builder, stage};

fn counts(stage: &Stage) -> (u64, u64, usize) {
    let calls = stage.counted().calls;
    (calls.cancelled, calls.failure, stage.retry.in_flight())
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_anywhere_is_cancelled_once() {
    // Unpolled, in the first attempt, in the backoff, in the second attempt.
    for (polls, calls) in [(0, 1), (1, 1), (2, 1), (3, 2)] {
        let answers = [Answer::Takes(SECOND), Answer::Hangs];
        let stage = stage(answers, |it| {
            it.budget(Budget::tokens(14)).attempt_timeout(SECOND / 2)
        });
        let mut service = stage.service.clone();
        let mut call = task::spawn(service.call(1));
        for step in 0..polls {
            assert_pending!(call.poll());
            advance(if step == 0 { SECOND / 2 } else { SECOND }).await;
        }
        assert_eq!(stage.retry.in_flight(), 1);

        drop(call);

        assert_eq!(stage.backend.calls(), calls, "after {polls} polls");
        assert_eq!(counts(&stage), (1, 0, 0), "after {polls} polls");
    }
}

#[tokio::test(start_paused = true)]
async fn nobody_calls_again_for_a_caller_that_has_gone() {
    let stage = stage([BAD], |it| it);
    let mut service = stage.service.clone();
    let mut call = task::spawn(service.call(1));
    assert_pending!(call.poll());

    drop(call);
    advance(10 * SECOND).await;

    assert_eq!(stage.backend.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_failure_and_goes_on() {
    for answers in [[Answer::Panics, BAD], [BAD, Answer::Panics]] {
        let stage = stage(answers, |it| it);

        let call = AssertUnwindSafe(stage.call(1)).catch_unwind().await;

        assert_eq!(
            call.unwrap_err().downcast_ref(),
            Some(&"the backend panics")
        );
        assert_eq!(counts(&stage), (0, 1, 0));
    }
}

/// One of the attempts in flight.
struct InFlight(Arc<AtomicUsize>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn the_attempt_that_hung_is_gone_before_the_next_begins() {
    let in_flight = Arc::new(AtomicUsize::new(0));
    let others = Arc::clone(&in_flight);
    let backend = service_fn(move |_: u32| {
        assert_eq!(others.fetch_add(1, Ordering::Relaxed), 0);
        let mine = InFlight(Arc::clone(&others));
        async move {
            let _mine = mine;
            pending::<Result<Outcome, BoxError>>().await
        }
    });
    let layer = builder()
        .attempt_timeout(SECOND)
        .registry(&Registry::new())
        .build();

    layer.layer(backend).oneshot(1).await.unwrap_err();

    assert_eq!(layer.handle().snapshot().retries, 2);
    assert_eq!(in_flight.load(Ordering::Relaxed), 0);
}

/// Is well once, and panics from then on: when it is asked whether it is ready, or called.
#[derive(Clone)]
struct Worn {
    calls: Arc<AtomicUsize>,
    when_asked: bool,
}

impl Service<u32> for Worn {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Ready<Result<Outcome, BoxError>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> Poll<Result<(), BoxError>> {
        let is_worn = self.calls.load(Ordering::Relaxed) > 0;
        assert!(!is_worn || !self.when_asked, "worn");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: u32) -> Self::Future {
        assert_eq!(self.calls.fetch_add(1, Ordering::Relaxed), 0, "worn");
        ready(Err("reset".into()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_on_the_way_to_a_further_attempt_is_one_failure_too() {
    for (when_asked, calls) in [(true, 1), (false, 2)] {
        let registry = Registry::new();
        let worn = Worn {
            calls: Arc::default(),
            when_asked,
        };
        let layer = builder().registry(&registry).build();

        let call = AssertUnwindSafe(layer.layer(worn.clone()).oneshot(1));
        assert!(call.catch_unwind().await.is_err());

        assert_eq!(worn.calls.load(Ordering::Relaxed), calls);
        let counted = registry.snapshot().instances.pop().unwrap().calls;
        assert_eq!((counted.failure, counted.cancelled), (1, 0));
    }
}
