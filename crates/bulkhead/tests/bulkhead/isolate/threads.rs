//! Where calls run.

use std::cell::RefCell;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use tokio::runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::{BoxError, Layer, ServiceExt};
use watertight_core::Reason;

use super::stage::{Worker, builder, call, job, rejection};

#[tokio::test]
async fn a_call_runs_on_a_thread_that_bears_the_name_of_the_layer() {
    let service = builder(1).build().layer(Worker);

    let name = job(|| {
        let at_once = thread::current().name().map(str::to_owned);
        async move { Ok((at_once, thread::current().name().map(str::to_owned))) }
    });
    let (at_once, later) = call(&service, name).await.unwrap();

    assert_eq!(at_once.as_deref(), Some("images"));
    assert_eq!(later, at_once);
}

/// The test's runtime has one thread. A call that blocked it could not be answered.
#[tokio::test]
async fn a_call_that_blocks_does_not_keep_others_from_running() {
    let service = builder(1).build().layer(Worker);
    let (release, released) = channel();

    let blocks = job(move || {
        let freed = released.recv().is_ok();
        async move { Ok(freed) }
    });
    let (freed, ()) = tokio::join!(call(&service, blocks), async {
        release.send(()).unwrap();
    });

    assert!(freed.unwrap());
}

#[tokio::test]
async fn a_call_may_block_on_a_runtime() {
    let service = builder(1).build().layer(Worker);

    let blocks = job(|| async {
        let own = runtime::Builder::new_current_thread().build()?;
        Ok(own.block_on(async { 7 }))
    });

    assert_eq!(call(&service, blocks).await.unwrap(), 7);
}

#[tokio::test]
async fn a_call_may_await_timers_and_spawn_tasks() {
    let service = builder(1).build().layer(Worker);

    let awaits = job(|| async {
        sleep(Duration::from_millis(1)).await;
        let ran_on = tokio::spawn(async { thread::current().name().map(str::to_owned) });
        Ok(ran_on.await?)
    });

    let ran_on = call(&service, awaits).await.unwrap();
    assert_eq!(ran_on.as_deref(), Some("images"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_run_than_may() {
    let layer = builder(3)
        .max_queue(300)
        .max_wait(Duration::from_secs(3_600))
        .build();
    let service = layer.layer(Worker);
    let running = Arc::new(AtomicUsize::new(0));

    let mut callers = JoinSet::new();
    for number in 0..300 {
        let (service, running) = (service.clone(), Arc::clone(&running));
        callers.spawn(async move {
            let work = job(move || async move {
                let with_me = running.fetch_add(1, Ordering::SeqCst) + 1;
                if number % 3 == 0 {
                    tokio::task::yield_now().await;
                }
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(with_me)
            });
            call(&service, work).await.unwrap()
        });
    }
    let most = callers.join_all().await.into_iter().max();

    assert!(most <= Some(3), "{most:?} ran at once");
    assert_eq!(layer.handle().in_flight(), 0);
}

/// One caller after another: a place is free before the answer is there.
#[tokio::test]
async fn the_next_call_finds_the_place_free() {
    let service = builder(1).build().layer(Worker);

    for _ in 0..500 {
        call(&service, job(|| async { Ok(()) })).await.unwrap();
    }
}

/// A future that keeps what it has after its end, as one written by hand does.
struct Trapped;

impl Future for Trapped {
    type Output = Result<(), BoxError>;

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(Ok(()))
    }
}

impl Drop for Trapped {
    fn drop(&mut self) {
        panic!("it is dropped");
    }
}

/// So it is gone before the answer is there.
#[tokio::test]
async fn a_panic_in_the_drop_of_a_call_comes_back() {
    let service = builder(1).build().layer(Worker);

    let caller = tokio::spawn(async move { call(&service, job(|| Trapped)).await });

    let panic = caller.await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"it is dropped"));
}

thread_local! {
    static AT_THE_END: RefCell<Option<Tells>> = const { RefCell::new(None) };
}

struct Tells(Sender<&'static str>);

impl Drop for Tells {
    fn drop(&mut self) {
        let _ = self.0.send("the thread ended");
    }
}

#[tokio::test]
async fn the_threads_end_with_the_layer() {
    let (tell, told) = channel();
    let service = builder(1).build().layer(Worker);

    let stays = job(|| {
        AT_THE_END.set(Some(Tells(tell)));
        async { Ok(()) }
    });
    service.oneshot(stays).await.unwrap();

    assert_eq!(told.recv(), Ok("the thread ended"));
}

#[test]
fn a_call_to_a_runtime_that_is_gone_is_refused() {
    let gone = runtime::Builder::new_current_thread().build().unwrap();
    let service = builder(1)
        .runtime(gone.handle().clone())
        .build()
        .layer(Worker);
    drop(gone);

    let here = runtime::Builder::new_current_thread().build().unwrap();
    let refused = here.block_on(call(&service, job(|| async { Ok(()) })));

    let refused = rejection(&refused.unwrap_err());
    assert_eq!(refused.reason(), Reason::NotReady);
    assert_eq!(refused.name(), "images");
}
