//! Calls that nobody waits for, and services that panic.

use std::future::{Pending, pending, ready};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use tokio::time::advance;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_breaker::{BreakerLayer, State};
use watertight_core::{DynError, Outcome};
use watertight_metrics::Registry;

use crate::stage::{SECOND, stage};

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_cancelled_and_does_not_vote() {
    let mut stage = stage(|it| it.min_calls(1));
    let call = stage.start();
    assert_eq!(stage.breaker.in_flight(), 1);

    drop(call);

    assert_eq!(stage.breaker.in_flight(), 0);
    assert_eq!(stage.counted().calls.cancelled, 1);
    assert_eq!(stage.breaker.snapshot().standing.calls, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_be_dropped_before_it_is_polled() {
    let mut stage = stage(|it| it.half_open_calls(1).close_after(1));
    stage.half_open().await;

    drop(stage.call());

    assert_eq!(stage.state(), State::HalfOpen);
    assert_eq!(stage.breaker.snapshot().probes_in_flight, 0);
    assert!(stage.poll_backend().is_ready());
    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_probe_gives_its_place_to_the_next_caller() {
    let mut stage = stage(|it| it.half_open_calls(1).close_after(1));
    stage.half_open().await;
    let probe = stage.start();
    stage.refusal();

    drop(probe);

    assert_eq!(stage.state(), State::HalfOpen);
    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_call_dropped_when_it_was_slow_is_a_slow_call() {
    let mut stage = stage(|it| it.slow_call(SECOND).min_calls(3).consecutive_failures(1));
    for _ in 0..3 {
        let call = stage.start();
        advance(2 * SECOND).await;
        drop(call);
    }

    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.counted().calls.cancelled, 3);
    assert_eq!(stage.breaker.snapshot().slow_rate(), Some(1.0));
    assert_eq!(stage.breaker.snapshot().failure_rate(), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn a_probe_dropped_when_it_was_slow_fails() {
    let mut stage = stage(|it| it.slow_call(SECOND));
    stage.half_open().await;
    let probe = stage.start();
    advance(2 * SECOND).await;

    drop(probe);

    assert_eq!(stage.state(), State::Open);
}

/// Panics when it is called, or when its future is polled.
#[derive(Clone)]
struct Panics {
    in_call: bool,
}

impl Service<()> for Panics {
    type Response = ();
    type Error = BoxError;
    type Future = PanicsLater;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> PanicsLater {
        assert!(!self.in_call, "out of order");
        PanicsLater
    }
}

struct PanicsLater;

impl Future for PanicsLater {
    type Output = Result<(), BoxError>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        panic!("out of order");
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_one_failure_and_goes_on_to_the_caller() {
    for in_call in [true, false] {
        let registry = Registry::new();
        let layer = BreakerLayer::builder("payments")
            .consecutive_failures(2)
            .registry(&registry)
            .build();
        let mut service = layer.layer(Panics { in_call });

        for _ in 0..2 {
            assert_eq!(layer.handle().state(), State::Closed);
            let panic = catch_unwind(AssertUnwindSafe(|| {
                let _ = spawn(service.call(())).poll();
            }));
            assert_eq!(
                *panic.unwrap_err().downcast::<&str>().unwrap(),
                "out of order"
            );
        }

        assert_eq!(layer.handle().state(), State::Open);
        assert_eq!(layer.handle().in_flight(), 0);
        assert_eq!(registry.snapshot().instances[0].calls.failure, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_while_the_callers_thread_unwinds_is_no_panic_of_the_service() {
    let registry = Registry::new();
    let layer = BreakerLayer::builder("payments")
        .consecutive_failures(1)
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
    assert_eq!(layer.handle().state(), State::Closed);
    assert_eq!(registry.snapshot().instances[0].calls.cancelled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_classifier_gives_the_place_back() {
    let registry = Registry::new();
    let layer = BreakerLayer::builder("payments")
        .classify_fn(|_: Result<&(), &DynError>| -> Outcome { panic!("cannot tell") })
        .half_open_calls(1)
        .registry(&registry)
        .build();
    layer.handle().open_for(SECOND);
    advance(SECOND).await;
    let mut service = layer.layer(service_fn(|(): ()| ready(Ok::<_, BoxError>(()))));
    let mut probe = spawn(service.call(()));

    let panic = catch_unwind(AssertUnwindSafe(|| drop(probe.poll())));

    assert!(panic.is_err());
    assert_eq!(layer.handle().state(), State::HalfOpen);
    assert_eq!(layer.handle().snapshot().probes_in_flight, 0);
    assert_eq!(registry.snapshot().instances[0].calls.cancelled, 1);
}
