//! Calls that nobody waits for, and services that panic.

use std::future::{Pending, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadLayer, Limit, LimitAlgorithm, Sample};
use watertight_core::{DynError, Outcome};
use watertight_metrics::Registry;

use crate::stage::{SECOND, stage};

#[tokio::test(start_paused = true)]
async fn a_dropped_call_gives_its_slot_back() {
    let mut stage = stage(1, |it| it);
    drop(stage.start("pay"));
    // Unpolled, too.
    drop(stage.call("pay"));
    assert!(stage.poll_backend().is_ready());

    assert_eq!(stage.bulkhead.in_flight(), 0);
    stage.start("pay").succeeds();
    assert_eq!(stage.counted().calls.cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_it_waits_leaves_the_queue() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let running = stage.start("first");
    let second = stage.wait("second");
    let third = stage.wait("third");
    stage.finds_it_full("fourth");

    drop(second);

    assert_eq!(stage.bulkhead.queued(), 1);
    running.succeeds();
    stage.reaches_backend(third, "third").succeeds();
    let calls = stage.counted().calls;
    assert_eq!((calls.cancelled, calls.success, calls.rejected), (1, 2, 1));
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_was_just_granted_goes_to_the_next() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let running = stage.start("first");
    let second = stage.wait("second");
    let third = stage.wait("third");
    running.succeeds();
    assert!(second.is_woken() && !third.is_woken());

    drop(second);

    assert!(third.is_woken());
    stage.reaches_backend(third, "third").succeeds();
    assert_eq!(stage.bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_the_service_gets_ready_gives_its_slot_back() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let running = stage.start("first");
    let mut second = stage.wait("second");
    stage.backend.allow(0);
    running.succeeds();
    assert_pending!(second.poll());

    drop(second);

    assert_eq!(stage.bulkhead.in_flight(), 0);
    assert_eq!(stage.counted().calls.cancelled, 1);
}

/// Panics when it is asked, called or polled.
#[derive(Clone)]
struct Panics {
    at: &'static str,
}

impl Service<()> for Panics {
    type Response = ();
    type Error = BoxError;
    type Future = PanicsLater;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        assert!(self.at != "poll_ready", "out of order");
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> PanicsLater {
        assert!(self.at != "call", "out of order");
        PanicsLater {
            panics: self.at == "poll",
        }
    }
}

struct PanicsLater {
    panics: bool,
}

impl Future for PanicsLater {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        assert!(!self.panics, "out of order");
        Poll::Pending
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_gives_the_slot_back_and_goes_on_to_the_caller() {
    for at in ["call", "poll"] {
        let registry = Registry::new();
        let layer = BulkheadLayer::builder("payments", 1)
            .registry(&registry)
            .build();
        let mut service = layer.layer(Panics { at });

        for _ in 0..2 {
            let panic = catch_unwind(AssertUnwindSafe(|| {
                let _ = spawn(service.call(())).poll();
            }));
            let said = panic.unwrap_err().downcast::<&str>().unwrap();
            assert_eq!(*said, "out of order");
        }

        assert_eq!(layer.handle().in_flight(), 0);
        assert_eq!(registry.snapshot().instances[0].calls.failure, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_call_that_has_waited_gives_the_slot_back() {
    for at in ["poll_ready", "call", "poll"] {
        let registry = Registry::new();
        let layer = BulkheadLayer::builder("payments", 1)
            .max_queue(1)
            .max_wait(SECOND)
            .registry(&registry)
            .build();
        let mut hangs = layer.layer(Panics { at: "" });
        let mut service = layer.layer(Panics { at });
        let mut running = spawn(hangs.call(()));
        assert_pending!(running.poll());
        let mut waiting = spawn(service.call(()));
        assert_pending!(waiting.poll());
        drop(running);

        let panic = catch_unwind(AssertUnwindSafe(|| drop(waiting.poll())));

        assert!(panic.is_err(), "{at}");
        assert_eq!(layer.handle().in_flight(), 0, "{at}");
        let calls = registry.snapshot().instances[0].calls;
        assert_eq!((calls.failure, calls.cancelled), (1, 1), "{at}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_while_the_callers_thread_unwinds_is_no_panic_of_the_service() {
    let registry = Registry::new();
    let layer = BulkheadLayer::builder("payments", 1)
        .registry(&registry)
        .build();
    let mut service = layer.layer(service_fn(|(): ()| -> Pending<Result<(), BoxError>> {
        pending()
    }));

    let panic = catch_unwind(AssertUnwindSafe(|| {
        let mut call = spawn(service.call(()));
        assert!(call.poll().is_pending());
        panic!("of the caller's own making");
    }));

    assert!(panic.is_err());
    assert_eq!(layer.handle().in_flight(), 0);
    assert_eq!(registry.snapshot().instances[0].calls.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_classifier_or_the_limit_gives_the_slot_back() {
    struct Broken;

    impl LimitAlgorithm for Broken {
        fn limit(&self) -> usize {
            1
        }

        fn sample(&mut self, _: &Sample) {
            panic!("cannot count")
        }

        /// Each sample is to be seen as its call ends.
        fn may_wait(&self) -> usize {
            0
        }
    }

    let registry = Registry::new();
    let inner = service_fn(|(): ()| ready(Ok::<_, BoxError>(())));
    let cannot_tell = BulkheadLayer::builder("classifier", 1)
        .classify_fn(|_: Result<&(), &DynError>| -> Outcome { panic!("cannot tell") })
        .registry(&registry)
        .build();
    let cannot_count = BulkheadLayer::builder("limit", Limit::custom(|| Broken))
        .registry(&registry)
        .build();

    let mut classified = spawn(cannot_tell.layer(inner).call(()));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(classified.poll())));
    assert!(panic.is_err());
    assert_eq!(cannot_tell.handle().in_flight(), 0);

    let mut service = cannot_count.layer(inner);
    let mut counted = spawn(service.call(()));
    let panic = catch_unwind(AssertUnwindSafe(|| drop(counted.poll())));
    assert!(panic.is_err());
    assert_eq!(cannot_count.handle().in_flight(), 0);
    // It learns nothing any more, and the bulkhead goes on.
    assert_ready_ok!(spawn(service.call(())).poll());
}
