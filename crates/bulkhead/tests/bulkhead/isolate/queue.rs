//! Calls that wait for another to end.

use std::sync::{Arc, Mutex};

use tokio::sync::oneshot;
use tokio_test::assert_pending;
use tokio_test::task::spawn;
use tower::limit::ConcurrencyLimitLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder};
use watertight_bulkhead::Order;
use watertight_core::{Context, Priority, Reason};

use super::stage::{Worker, builder_here, call, job, rejection};
use crate::stage::{MS, SECOND, with_priority};

#[tokio::test(start_paused = true)]
async fn what_finds_no_place_is_refused() {
    let layer = builder_here(2).max_queue(1).max_wait(SECOND).build();
    let mut service = layer.layer(Worker);
    let nothing = || job(|| async { Ok(()) });
    let (_first, _second) = (service.call(nothing()), service.call(nothing()));
    let mut third = spawn(service.call(nothing()));
    assert_pending!(third.poll());

    let refused = call(&service, nothing()).await;

    let refused = rejection(&refused.unwrap_err());
    assert_eq!(refused.reason(), Reason::BulkheadFull);
    assert_eq!(refused.name(), "images");
}

#[tokio::test(start_paused = true)]
async fn what_waits_is_served_in_turn() {
    assert_eq!(order(Order::Fifo).await, [1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_is_more_important_is_served_first() {
    assert_eq!(order(Order::Priority).await, [3, 2, 1]);
}

/// In what order three calls are served that wait, the last of which is the most important.
async fn order(order: Order) -> Vec<u32> {
    let layer = builder_here(1)
        .max_queue(3)
        .max_wait(SECOND)
        .order(order)
        .build();
    let mut service = layer.layer(Worker);
    let served = Arc::new(Mutex::new(Vec::new()));
    let mut work = |number: u32| {
        let served = Arc::clone(&served);
        service.call(job(move || async move {
            served.lock().unwrap().push(number);
            Ok::<_, BoxError>(())
        }))
    };

    let first = work(0);
    let low = with_priority(Priority::Low, || work(1));
    let normal = with_priority(Priority::Normal, || work(2));
    let high = with_priority(Priority::High, || work(3));
    let (..) = tokio::join!(first, low, normal, high);

    let served = served.lock().unwrap();
    assert_eq!(served[0], 0);
    served[1..].to_vec()
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_it_may() {
    let layer = builder_here(1).max_queue(1).max_wait(100 * MS).build();
    let mut service = layer.layer(Worker);
    let (_release, released) = oneshot::channel::<()>();
    let _running = service.call(job(|| async { Ok(released.await?) }));
    let start = tokio::time::Instant::now();

    let refused = call(&service, job(|| async { Ok(()) })).await;

    assert_eq!(start + 100 * MS, tokio::time::Instant::now());
    let reason = rejection(&refused.unwrap_err()).reason();
    assert_eq!(reason, Reason::QueueTimeout);
    let wait = layer.handle().snapshot().queue_wait;
    assert!(
        wait.is_some_and(|wait| wait.p50 >= Some(90 * MS)),
        "{wait:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_its_deadline() {
    let layer = builder_here(1).max_queue(1).max_wait(SECOND).build();
    let mut service = layer.layer(Worker);
    let (_release, released) = oneshot::channel::<()>();
    let _running = service.call(job(|| async { Ok(released.await?) }));
    let start = tokio::time::Instant::now();
    let hurried = Context {
        deadline: Some(start + 30 * MS),
        ..Context::default()
    };

    let refused = hurried
        .scope(call(&service, job(|| async { Ok(()) })))
        .await;

    assert_eq!(start + 30 * MS, tokio::time::Instant::now());
    let reason = rejection(&refused.unwrap_err()).reason();
    assert_eq!(reason, Reason::DeadlineExceeded);
}

/// Tower's concurrency limit panics if an instance is called that was not polled ready.
#[tokio::test(start_paused = true)]
async fn the_clone_of_a_call_that_waited_is_driven_ready() {
    let layer = builder_here(1).max_queue(1).max_wait(SECOND).build();
    let service = ServiceBuilder::new()
        .layer(layer)
        .layer(ConcurrencyLimitLayer::new(2))
        .service(Worker);

    let nothing = || job(|| async { Ok(()) });
    let (first, second) = tokio::join!(call(&service, nothing()), call(&service, nothing()));

    assert!(first.is_ok() && second.is_ok());
}
