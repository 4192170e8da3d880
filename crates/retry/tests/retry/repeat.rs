//! What may be sent twice, and what is kept for that.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::advance;
use tokio_test::{assert_pending, task};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_core::{
    Always, Backoff, Budget, Context, Failure, FailureKind, Mode, Never, Outcome, Repeat,
};
use watertight_metrics::Registry;
use watertight_retry::RetryLayer;

use crate::stage::SECOND;

/// A request that counts its clones.
#[derive(Debug, Default)]
struct Counted(Arc<AtomicU32>);

impl Clone for Counted {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(&self.0))
    }
}

fn builder() -> watertight_retry::RetryBuilder {
    RetryLayer::builder("payments")
        .backoff(Backoff::constant(SECOND))
        .budget(Budget::unlimited())
        .registry(&Registry::new())
}

/// Calls a backend that fails so many times, and returns how often the request was cloned.
async fn clones(
    failures: u32,
    settings: impl FnOnce(watertight_retry::RetryBuilder) -> watertight_retry::RetryBuilder,
) -> u32 {
    let left = Arc::new(AtomicU32::new(failures));
    let backend = service_fn(move |_: Counted| {
        let is_well = left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_err();
        async move {
            if is_well {
                Ok(())
            } else {
                Err(BoxError::from("reset"))
            }
        }
    });
    let layer = settings(builder()).repeat_if(|_: &Counted| true).build();
    let request = Counted::default();
    let clones = Arc::clone(&request.0);
    let _ = layer.layer(backend).oneshot(request).await;
    clones.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_request_is_cloned_once_an_attempt_may_follow() {
    assert_eq!(clones(0, |it| it).await, 1);
    assert_eq!(clones(1, |it| it).await, 2);
    assert_eq!(clones(9, |it| it).await, 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_kept_where_no_attempt_can_follow() {
    assert_eq!(clones(1, |it| it.max_attempts(1)).await, 0);
    assert_eq!(clones(1, |it| it.mode(Mode::Off)).await, 0);
    let retried = Context {
        upstream_attempt: 1,
        ..Context::default()
    };
    assert_eq!(retried.scope(clones(1, |it| it)).await, 0);
}

#[tokio::test(start_paused = true)]
async fn what_must_not_be_repeated_is_not() {
    let layer = builder().repeat(Never).build();
    let backend = service_fn(|()| async { Err::<(), _>(BoxError::from("reset")) });

    layer.layer(backend).oneshot(()).await.unwrap_err();

    assert_eq!(layer.handle().snapshot().given_up["not_repeatable"], 1);
}

/// Repeats what never reached the service, and nothing else.
#[derive(Clone, Copy, Debug)]
struct Unsent;

impl Repeat<u32> for Unsent {
    type Request = u32;
    type Kept = u32;

    fn keep(&self, request: u32) -> (u32, Option<u32>) {
        (request, Some(request))
    }

    fn allows(&self, _: &u32, failure: &Failure) -> bool {
        failure.kind == FailureKind::Connect
    }

    fn again(&self, kept: &u32) -> Option<u32> {
        Some(*kept)
    }

    fn once(&self, request: u32) -> u32 {
        request
    }
}

#[tokio::test(start_paused = true)]
async fn what_never_reached_the_service_is_sent_again_whatever_it_is() {
    for (kind, calls) in [(FailureKind::Connect, 3), (FailureKind::Server, 1)] {
        let layer = builder()
            .repeat(Unsent)
            .classify_fn(move |_: Result<&(), _>| Outcome::failure(kind))
            .build();
        let called = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&called);
        let backend = service_fn(move |_: u32| {
            counter.fetch_add(1, Ordering::Relaxed);
            async { Ok::<_, BoxError>(()) }
        });

        layer.layer(backend).oneshot(1).await.unwrap();

        assert_eq!(called.load(Ordering::Relaxed), calls, "{kind:?}");
    }
}

/// Counts how often attempts were cut off, and makes no request twice unless it is told so.
#[derive(Clone, Debug, Default)]
struct Cuts {
    count: Arc<AtomicU32>,
    makes: bool,
}

impl Repeat<u32> for Cuts {
    type Request = u32;
    type Kept = u32;

    fn keep(&self, request: u32) -> (u32, Option<u32>) {
        (request, Some(request))
    }

    fn again(&self, kept: &u32) -> Option<u32> {
        self.makes.then_some(*kept)
    }

    fn once(&self, request: u32) -> u32 {
        request
    }

    fn cut_off(&self, _: &u32) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

async fn fails() -> Result<(), BoxError> {
    Err("reset".into())
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_made_again_costs_nothing() {
    let budget = Budget::tokens(14);
    let layer = builder()
        .repeat(Cuts::default())
        .budget(budget.clone())
        .build();

    for request in 0..3 {
        let service = layer.layer(service_fn(|_: u32| fails()));
        service.oneshot(request).await.unwrap_err();
    }

    assert_eq!(layer.handle().snapshot().given_up["not_repeatable"], 3);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_is_cut_off_for_another_and_for_nothing_else() {
    let none = Budget::ratio(0.0).min_per_second(0.0);
    for (budget, cuts) in [(none, 0), (Budget::unlimited(), 2)] {
        let repeat = Cuts {
            makes: true,
            ..Cuts::default()
        };
        let layer = builder().repeat(repeat.clone()).budget(budget).build();

        let service = layer.layer(service_fn(|_: u32| fails()));
        service.oneshot(1).await.unwrap_err();

        assert_eq!(repeat.count.load(Ordering::Relaxed), cuts);
    }
}

/// Calls a service that fails at first and then hangs. Returns who holds the request, and who the
/// first answer, once the second attempt hangs.
async fn held_by_the_last_attempt(max_attempts: u32) -> (usize, usize) {
    let (request, answer) = (Arc::new(()), Arc::new(()));
    let answers = Arc::downgrade(&answer);
    let calls = AtomicU32::new(0);
    let backend = Arc::new(move |_: Arc<()>| {
        let is_first = calls.fetch_add(1, Ordering::Relaxed) == 0;
        let answer = answers.upgrade();
        async move {
            if !is_first {
                drop(answer);
                return std::future::pending().await;
            }
            Ok::<_, BoxError>(answer)
        }
    });
    let mut service = builder()
        .classify_fn(|_: Result<&Option<Arc<()>>, _>| Outcome::failure(FailureKind::Server))
        .repeat(Always)
        .max_attempts(max_attempts)
        // The one that may say no after the wait, for which the answer is held until then.
        .budget(Budget::grpc(10, 0.1))
        .build()
        .layer(service_fn(move |request| backend(request)));

    let mut call = task::spawn(service.call(Arc::clone(&request)));
    assert_pending!(call.poll());
    assert_eq!(Arc::strong_count(&answer), 2);
    advance(SECOND).await;
    assert_pending!(call.poll());

    (
        Arc::strong_count(&request) - 1,
        Arc::strong_count(&answer) - 1,
    )
}

#[tokio::test(start_paused = true)]
async fn nothing_is_held_that_is_of_no_more_use() {
    assert_eq!(held_by_the_last_attempt(2).await, (0, 0));
    assert_eq!(held_by_the_last_attempt(3).await, (1, 0));
}
