//! What a call costs.

use std::future::{Ready, ready};
use std::mem::size_of_val;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::measure;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadBuilder, BulkheadLayer, Limit};
use watertight_core::{Key, Priority};
use watertight_metrics::Registry;

use crate::stage::{SECOND, stage};

fn builder(limit: impl Into<Limit>) -> BulkheadBuilder {
    BulkheadLayer::builder("search", limit).registry(&Registry::new())
}

type Answer = Ready<Result<(), BoxError>>;

fn allocations<S: Service<u64, Response = (), Error = BoxError>>(mut service: S) -> u64 {
    let mut call = || {
        let mut future = pin!(service.call(7));
        let polled = future
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(()))));
    };
    call();
    measure(|| (0..100).for_each(|_| call())).count_total
}

/// A timer needs a runtime: without one, to make it would panic.
#[test]
fn a_call_that_finds_a_slot_allocates_nothing_and_makes_no_timer() {
    let inner = service_fn(|_: u64| -> Answer { ready(Ok(())) });

    let plain = builder(50).max_queue(10).max_wait(SECOND).build();
    assert_eq!(allocations(plain.layer(inner)), 0);
    let shared = builder(50)
        .max_queue(10)
        .max_wait(SECOND)
        .reserve(Priority::Critical, 0.1)
        .partition("web", 0.5)
        .partition_by(|_: &u64| Some("web"))
        .build();
    assert_eq!(allocations(shared.layer(inner)), 0);
    let keyed = builder(2).key(|key: &u64| Key::of(*key)).total(10).build();
    assert_eq!(allocations(keyed.layer(inner)), 0);
    let adaptive = builder(Limit::vegas()).build();
    assert_eq!(allocations(adaptive.layer(inner)), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_is_allocated_once() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let _running = stage.start("pay");
    drop(stage.wait("pay"));
    drop(stage.wait("pay"));

    let mut call = None;
    let info = measure(|| {
        let mut waiting = stage.service.call("pay");
        // The timer is part of it.
        let polled = std::pin::Pin::new(&mut waiting).poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
        call = Some(waiting);
    });

    assert_eq!(info.count_total, 1);
    drop(call);
}

#[test]
fn a_future_is_of_modest_size() {
    let mut service = builder(50)
        .build()
        .layer(service_fn(|_: u64| -> Answer { ready(Ok(())) }));

    let size = size_of_val(&service.call(7));

    println!("the future of an unboxed, ready answer takes {size} bytes");
    assert!(size <= 128, "{size}");
}

#[test]
fn a_service_is_of_modest_size() {
    let service = builder(50)
        .build()
        .layer(service_fn(|_: u64| -> Answer { ready(Ok(())) }));

    assert_eq!(size_of_val(&service), size_of::<usize>());
}
