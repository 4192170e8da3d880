//! Who is asked whether it is ready, and who is called.

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use tower_test::mock::{self, Handle, Mock};
use watertight_core::{Always, Backoff, Budget, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_retry::{Retry, RetryLayer};

use crate::stage::SECOND;

type Service1 = Retry<Mock<u32, u32>, watertight_core::ErrorsAreFailures, Always>;

fn mocked() -> (Service1, Handle<u32, u32>) {
    mocked_in(&Registry::new())
}

fn mocked_in(registry: &Registry) -> (Service1, Handle<u32, u32>) {
    let layer = RetryLayer::builder("payments")
        .repeat(Always)
        .backoff(Backoff::constant(SECOND))
        .budget(Budget::unlimited())
        .attempt_timeout(5 * SECOND)
        .registry(registry)
        .build();
    let (mock, backend) = mock::pair();
    (layer.layer(mock), backend)
}

fn received(backend: &mut Handle<u32, u32>) -> mock::SendResponse<u32> {
    let polled = spawn(()).enter(|_, _| backend.poll_request());
    assert_ready!(polled).unwrap().1
}

#[tokio::test(start_paused = true)]
async fn is_ready_when_the_inner_service_is() {
    let (mut service, mut backend) = mocked();
    backend.allow(0);
    let mut ready = spawn(());
    assert_pending!(ready.enter(|cx, _| service.poll_ready(cx)));

    backend.allow(1);

    assert!(ready.is_woken());
    assert_ready_ok!(ready.enter(|cx, _| service.poll_ready(cx)));
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_until_its_own_instance_is_ready() {
    let (mut service, mut backend) = mocked();
    backend.allow(1);
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let mut call = spawn(service.call(1));
    assert_pending!(call.poll());
    received(&mut backend).send_error("reset");
    assert_pending!(call.poll());
    advance(SECOND).await;
    assert!(call.is_woken());
    assert_pending!(call.poll(), "nobody is ready for it");

    backend.allow(1);

    assert!(call.is_woken());
    assert_pending!(call.poll());
    received(&mut backend).send_response(2);
    assert_eq!(assert_ready_ok!(call.poll()), 2);
}

#[tokio::test(start_paused = true)]
async fn an_error_of_readiness_is_returned_as_it_is() {
    let (mut service, mut backend) = mocked();
    backend.send_error("no route");
    let error = assert_ready_err!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    assert_eq!(error.to_string(), "no route");

    let registry = Registry::new();
    let (mut service, mut backend) = mocked_in(&registry);
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let mut call = spawn(service.call(1));
    assert_pending!(call.poll());
    received(&mut backend).send_error("reset");
    assert_pending!(call.poll());
    backend.send_error("no route");
    advance(SECOND).await;

    assert_eq!(assert_ready_err!(call.poll()).to_string(), "no route");
    drop(call);
    let calls = registry.snapshot().instances.pop().unwrap().calls;
    assert_eq!((calls.failure, calls.cancelled), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_readiness_is_part_of_the_attempt() {
    let (mut service, mut backend) = mocked();
    backend.allow(1);
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let mut call = spawn(service.call(1));
    assert_pending!(call.poll());
    received(&mut backend).send_error("reset");
    assert_pending!(call.poll());
    advance(SECOND).await;
    assert_pending!(call.poll());

    advance(5 * SECOND).await;

    let error = assert_ready_err!(call.poll());
    assert_eq!(Rejection::find(&*error).unwrap().reason(), Reason::TimedOut);
}
