//! What a call costs that is not timed out.

use std::future::{Ready, pending, ready};
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use tokio_test::assert_pending;
use tokio_test::task::spawn;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_metrics::Registry;
use watertight_timeout::TimeoutLayer;

use crate::stage::LIMIT;

fn layers() -> [TimeoutLayer; 2] {
    let registry = Registry::new();
    [
        TimeoutLayer::builder("fixed")
            .limit(LIMIT)
            .registry(&registry)
            .build(),
        TimeoutLayer::adaptive("adaptive")
            .registry(&registry)
            .build(),
    ]
}

type Answer = Ready<Result<(), BoxError>>;

/// A timer needs a runtime: without one, to make it would panic.
#[test]
fn a_call_that_is_answered_at_once_allocates_nothing_and_makes_no_timer() {
    for layer in layers() {
        let mut service = layer.layer(service_fn(|()| -> Answer { ready(Ok(())) }));
        let mut call = || {
            let mut future = std::pin::pin!(service.call(()));
            let polled = future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()));
            assert!(matches!(polled, Poll::Ready(Ok(()))));
        };
        call();

        let info = measure(|| (0..1_000).for_each(|_| call()));

        assert_eq!(info.count_total, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_allocates_nothing() {
    for layer in layers() {
        let mut service = layer.layer(service_fn(|()| pending::<Result<(), BoxError>>()));
        let mut call = spawn(service.call(()));

        let info = measure(|| assert_pending!(call.poll()));

        assert_eq!(info.count_total, 0);
    }
}

#[test]
fn a_future_is_of_modest_size() {
    let [layer, _] = layers();
    let mut service = layer.layer(service_fn(|()| -> Answer { ready(Ok(())) }));

    let size = size_of_val(&service.call(()));

    println!("the future of an unboxed, ready answer takes {size} bytes");
    assert!(size <= 320, "{size}");
}
