use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::{Context, Poll};

use tokio::time::advance;
use tokio_test::assert_pending;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service};
use watertight_core::{Always, Budget, Mode};
use watertight_hedge::{HedgeHandle, HedgeLayer};
use watertight_metrics::Registry;

use crate::stage::{DELAY, Stage, stage};

/// Checks that nothing is left of the one call that there was.
fn is_gone(stage: &mut Stage) {
    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(stage.hedge.in_flight(), 0);
    assert_eq!(stage.counted().calls.cancelled, 1);
    assert_eq!(stage.counted().calls.failure, 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_unpolled_is_cancelled() {
    let mut stage = stage(|it| it);

    drop(stage.call());

    is_gone(&mut stage);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_before_the_delay_sends_nothing() {
    let mut stage = stage(|it| it);
    let (call, _primary) = stage.start();

    drop(call);
    advance(DELAY).await;

    stage.no_attempt();
    is_gone(&mut stage);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_while_its_hedge_is_not_ready_sends_nothing() {
    let mut stage = stage(|it| it);
    let (mut call, _primary) = stage.start();
    stage.mock.allow(0);
    advance(DELAY).await;
    assert_pending!(call.poll());

    drop(call);
    stage.mock.allow(1);

    stage.no_attempt();
    is_gone(&mut stage);
}

#[tokio::test(start_paused = true)]
async fn all_copies_of_a_dropped_call_are_cancelled() {
    let mut stage = stage(|it| it.max_hedges(2));
    let (mut call, _primary, _hedge) = stage.start_hedged().await;
    advance(DELAY).await;
    assert_pending!(call.poll());
    let _second = stage.attempt();
    assert_eq!(stage.backend.alive(), 3);

    drop(call);

    is_gone(&mut stage);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_with_one_failure_known_is_cancelled() {
    let mut stage = stage(|it| it);
    let (mut call, primary, _hedge) = stage.start_hedged().await;
    primary.fails();
    assert_pending!(call.poll());

    drop(call);

    is_gone(&mut stage);
}

/// Panics in its n-th call, there or in the poll.
#[derive(Clone)]
struct Panics {
    at: u32,
    in_call: bool,
    calls: std::sync::Arc<std::sync::atomic::AtomicU32>,
}

impl Service<()> for Panics {
    type Response = ();
    type Error = BoxError;
    type Future = PanicsOrWaits;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> PanicsOrWaits {
        let call = self
            .calls
            .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let panics = call == self.at;
        if panics && self.in_call {
            std::panic::resume_unwind(Box::new("call"));
        }
        PanicsOrWaits(panics)
    }
}

struct PanicsOrWaits(bool);

impl Future for PanicsOrWaits {
    type Output = Result<(), BoxError>;

    fn poll(self: std::pin::Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if self.0 {
            std::panic::resume_unwind(Box::new("poll"));
        }
        Poll::Pending
    }
}

fn panics(at: u32, in_call: bool) -> (impl Service<(), Future: Unpin>, HedgeHandle, Registry) {
    let registry = Registry::new();
    let layer = HedgeLayer::builder("search")
        .repeat(Always)
        .after(DELAY)
        .budget(Budget::concurrent(0.0, 1))
        .registry(&registry)
        .build();
    let service = layer.layer(Panics {
        at,
        in_call,
        calls: Default::default(),
    });
    (Unpinned(service), layer.handle(), registry)
}

/// Boxes the futures, to have them polled in `catch_unwind`.
struct Unpinned<S>(S);

impl<S: Service<(), Future: 'static>> Service<()> for Unpinned<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = std::pin::Pin<Box<S::Future>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, (): ()) -> Self::Future {
        Box::pin(self.0.call(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_any_attempt_is_one_failure_and_goes_on() {
    for hedge in [0, 1] {
        for in_call in [true, false] {
            let (mut service, handle, registry) = panics(hedge, in_call);
            let caught = async {
                let mut call = match catch_unwind(AssertUnwindSafe(|| service.call(()))) {
                    Ok(call) => spawn(call),
                    Err(panic) => return panic,
                };
                loop {
                    match catch_unwind(AssertUnwindSafe(|| call.poll().is_pending())) {
                        Ok(pending) => assert!(pending),
                        Err(panic) => return panic,
                    }
                    advance(DELAY).await;
                }
            };

            let panic = caught.await;

            let expected = if in_call { "call" } else { "poll" };
            assert_eq!(panic.downcast_ref(), Some(&expected));
            let counted = registry.snapshot().instances.pop().unwrap();
            assert_eq!((counted.calls.failure, counted.calls.cancelled), (1, 0));
            assert_eq!(handle.in_flight(), 0);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_off_may_be_dropped() {
    let mut stage = stage(|it| it.mode(Mode::Off));
    let (call, _primary) = stage.start();

    drop(call);

    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(stage.counted().calls.cancelled, 0);
}
