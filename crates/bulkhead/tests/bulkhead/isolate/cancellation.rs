//! Callers that go away.

use std::future::{Ready, pending};
use std::sync::mpsc::{Sender, channel};
use std::thread;

use tokio::sync::oneshot;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_ok};
use tower::{BoxError, Layer, Service};
use watertight_metrics::Registry;

use super::stage::{Worker, builder, builder_here, call, job};
use crate::stage::SECOND;

/// Says when it is dropped.
struct Tells(Sender<()>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

#[tokio::test]
async fn a_call_that_awaits_is_dropped_with_its_caller() {
    let layer = builder(1).build();
    let mut service = layer.layer(Worker);
    let (started, starts) = oneshot::channel();
    let (dropped, drops) = channel();

    let hangs = service.call(job(move || async move {
        let _tells = Tells(dropped);
        let _ = started.send(());
        pending::<Result<(), BoxError>>().await
    }));
    starts.await.unwrap();
    drop(hangs);

    drops.recv().unwrap();
    let handle = layer.handle();
    while handle.in_flight() > 0 {
        thread::yield_now();
    }
    call(&service, job(|| async { Ok(()) })).await.unwrap();
}

#[tokio::test]
async fn a_call_that_blocks_holds_its_place_until_it_ends() {
    let layer = builder(1).build();
    let handle = layer.handle();
    let mut service = layer.layer(Worker);
    let (started, starts) = oneshot::channel();
    let (release, released) = channel::<()>();

    let blocks = service.call(job(move || async move {
        let _ = started.send(());
        let _ = released.recv();
        Ok(())
    }));
    starts.await.unwrap();
    drop(blocks);

    assert_eq!(handle.in_flight(), 1);
    assert!(call(&service, job(|| async { Ok(()) })).await.is_err());
    release.send(()).unwrap();
    while handle.in_flight() > 0 {
        thread::yield_now();
    }
    call(&service, job(|| async { Ok(()) })).await.unwrap();
}

/// The last one to hold the threads is one of them.
#[tokio::test]
async fn a_call_outlives_its_layer() {
    let layer = builder(1).build();
    let mut service = layer.layer(Worker);
    let (started, starts) = oneshot::channel();
    let (release, released) = channel::<()>();
    let (ended, ends) = channel();

    let blocks = service.call(job(move || async move {
        let _tells = Tells(ended);
        let _ = started.send(());
        let _ = released.recv();
        Ok(())
    }));
    starts.await.unwrap();
    drop((blocks, service, layer));
    release.send(()).unwrap();

    ends.recv().unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_not_begun_never_does() {
    let layer = builder_here(1).build();
    let (mut service, handle) = (layer.layer(Worker), layer.handle());

    let begins = || -> Ready<Result<(), BoxError>> { panic!("it began") };
    let unbegun = service.call(job(begins));
    drop(unbegun);
    while handle.in_flight() > 0 {
        tokio::task::yield_now().await;
    }

    call(&service, job(|| async { Ok(()) })).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_leaves_the_queue() {
    let registry = Registry::new();
    let layer = builder_here(1)
        .max_queue(2)
        .max_wait(SECOND)
        .registry(&registry)
        .build();
    let (mut service, handle) = (layer.layer(Worker), layer.handle());
    let (release, released) = oneshot::channel::<()>();

    let mut running = spawn(service.call(job(|| async { Ok(released.await?) })));
    let mut waiting = spawn(service.call(job(|| async { Ok(()) })));
    assert_pending!(waiting.poll());
    let mut next = spawn(service.call(job(|| async { Ok(()) })));
    assert_pending!(next.poll());
    assert_eq!(handle.queued(), 2);
    drop(waiting);

    assert_eq!(handle.queued(), 1);
    release.send(()).unwrap();
    next.await.unwrap();
    assert_ready_ok!(running.poll());
    let calls = registry.snapshot().instances[0].calls;
    assert_eq!((calls.success, calls.cancelled), (2, 1));
}
