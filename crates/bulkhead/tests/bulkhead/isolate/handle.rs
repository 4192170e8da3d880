//! A look at a live layer, and a hand on it.

use std::future::pending;

use metrics_util::debugging::DebuggingRecorder;
use tokio::sync::oneshot;
use tower::{BoxError, Layer, Service};
use watertight_bulkhead::{IsolateConfig, IsolateHandle, IsolateLayer};
use watertight_core::Mode;
use watertight_http::HttpExt;
use watertight_metrics::Registry;

use super::stage::{Job, Worker, builder, builder_here, call, job};
use crate::stage::successes_told;

fn hangs() -> Job<()> {
    job(pending::<Result<(), BoxError>>)
}

#[tokio::test(start_paused = true)]
async fn another_limit_holds_from_now_on() {
    let layer = builder_here(1).build();
    let (mut service, handle) = (layer.layer(Worker), layer.handle());
    let _first = service.call(hangs());
    assert!(call(&service, job(|| async { Ok(()) })).await.is_err());

    handle.resize(2).unwrap();

    assert!(call(&service, job(|| async { Ok(()) })).await.is_ok());
    assert_eq!((handle.limit(), handle.in_flight()), (2, 1));
    assert_eq!(handle.utilization(), 0.5);
}

/// Its threads are not counted when it is made.
#[tokio::test]
async fn more_threads_may_be_had_later() {
    let layer = builder(1).build();
    let mut service = layer.layer(Worker);
    layer.handle().resize(3).unwrap();

    let (mut calls, mut releases) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let (started, starts) = oneshot::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        calls.push(service.call(job(move || async move {
            let _ = started.send(());
            Ok(released.recv()?)
        })));
        starts.await.unwrap();
        releases.push(release);
    }

    assert_eq!(layer.handle().in_flight(), 3);
    for (call, release) in calls.into_iter().zip(releases) {
        release.send(()).unwrap();
        call.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_invalid_config_leaves_the_old_one_in_force() {
    let handle = builder_here(4).build().handle();

    let error = handle.reconfigure(IsolateConfig::new(0)).unwrap_err();

    assert_eq!(error.field(), "limit");
    assert_eq!(handle.limit(), 4);
    assert!(handle.resize(0).is_err());
}

#[tokio::test(start_paused = true)]
async fn it_is_found_by_its_name() {
    let registry = Registry::new();
    let layer = builder_here(4).registry(&registry).build();

    let handle: IsolateHandle = registry.find("images").unwrap();
    handle.set_mode(Mode::Shadow);

    assert_eq!(layer.handle().snapshot().mode, Mode::Shadow);
}

#[tokio::test(start_paused = true)]
async fn every_end_of_a_call_is_counted() {
    let registry = Registry::new();
    let layer = builder_here(1).registry(&registry).build();
    let mut service = layer.layer(Worker);

    call(&service, job(|| async { Ok(()) })).await.unwrap();
    let fails = job(|| async { Err::<(), _>("no cat".into()) });
    call(&service, fails).await.unwrap_err();
    let hanging = service.call(hangs());
    call(&service, hangs()).await.unwrap_err();
    drop(hanging);

    let counted = registry.snapshot().instances.pop().unwrap();
    assert_eq!((counted.kind, counted.limit), ("isolate", Some(1)));
    let calls = counted.calls;
    assert_eq!((calls.success, calls.failure), (1, 1));
    assert_eq!((calls.rejected, calls.cancelled), (1, 1));
}

#[test]
fn an_impossible_setting_is_refused() {
    let error = IsolateLayer::builder("images", 0).try_build().unwrap_err();
    assert_eq!(error.field(), "limit");

    let error = builder(1).max_queue(1).try_build().unwrap_err();
    assert_eq!(error.field(), "max_wait");
}

#[test]
fn it_is_told_of_http_as_all_layers_are() {
    let _ = builder(1).http().build();
    let _ = builder(1).grpc().build();
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_has_counted_is_told_as_it_goes_and_what_outlives_it_later() {
    let (recorder, registry) = (DebuggingRecorder::new(), Registry::new());
    let layer = builder_here(3).registry(&registry).build();
    let mut service = layer.layer(Worker);
    for _ in 0..2 {
        service.call(job(|| async { Ok(()) })).await.unwrap();
    }
    let (release, released) = oneshot::channel();
    let call = service.call(job(|| async { Ok(released.await?) }));

    drop((service, layer));
    assert_eq!(successes_told(&registry, &recorder), Some(2));

    release.send(()).unwrap();
    call.await.unwrap();
    assert_eq!(successes_told(&registry, &recorder), Some(1));
}
