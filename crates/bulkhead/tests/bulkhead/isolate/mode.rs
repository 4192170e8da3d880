//! Calls that run where they are made.

use std::thread::{self, ThreadId};

use tokio::sync::oneshot;
use tower::{Layer, Service};
use watertight_core::{Mode, Reason};
use watertight_metrics::Registry;

use super::stage::{Job, Worker, builder, call, job};

fn thread_id() -> Job<ThreadId> {
    job(|| async { Ok(thread::current().id()) })
}

#[tokio::test]
async fn off_lets_calls_run_where_they_are_made_and_counts_nothing() {
    let registry = Registry::new();
    let layer = builder(1).registry(&registry).mode(Mode::Off).build();
    let service = layer.layer(Worker);

    let ran_on = call(&service, thread_id()).await.unwrap();

    assert_eq!(ran_on, thread::current().id());
    assert_eq!(registry.snapshot().instances[0].calls.success, 0);
}

#[tokio::test]
async fn in_shadow_only_what_finds_no_place_runs_where_it_is_made() {
    let registry = Registry::new();
    let layer = builder(1).registry(&registry).mode(Mode::Shadow).build();
    let mut service = layer.layer(Worker);
    let (release, released) = oneshot::channel();

    let apart = service.call(job(|| async {
        released.await?;
        Ok(thread::current().id())
    }));
    let passing = call(&service, thread_id()).await.unwrap();
    release.send(()).unwrap();

    assert_eq!(passing, thread::current().id());
    assert_ne!(apart.await.unwrap(), thread::current().id());
    let snapshot = registry.snapshot().instances.pop().unwrap();
    assert_eq!(snapshot.calls.success, 1);
    let mut rejections = snapshot.rejections.iter();
    let in_shadow = rejections.find(|it| it.mode == Mode::Shadow).unwrap();
    assert_eq!(
        (in_shadow.reason, in_shadow.count),
        (Reason::BulkheadFull, 1)
    );
}
