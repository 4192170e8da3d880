//! Wakers that come back to the bulkhead at once, as those of an executor do that polls in place.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_test::assert_pending;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{
    BulkheadHandle, BulkheadLayer, IsolateHandle, IsolateLayer, Limit, LimitAlgorithm, Sample,
};
use watertight_core::Key;
use watertight_metrics::Registry;

use crate::stage::SECOND;

/// Does something when it is woken.
struct Does<F>(F);

impl<F: Fn() + Send + Sync> Wake for Does<F> {
    fn wake(self: Arc<Self>) {
        (self.0)();
    }
}

fn waker(does: impl Fn() + Send + Sync + 'static) -> Waker {
    Waker::from(Arc::new(Does(does)))
}

/// Runs it on a thread of its own, for one that waits for its own lock never ends.
fn ends(scene: impl FnOnce() + Send + 'static) {
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        let mut paused = Builder::new_current_thread();
        let runtime = paused.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async { scene() });
        done.send(()).unwrap();
    });
    let ended = is_done.recv_timeout(10 * SECOND);
    assert!(ended.is_ok(), "it panicked, or waits for a lock of its own");
}

/// Answers at the second poll.
async fn answer() -> Result<(), BoxError> {
    tokio::task::yield_now().await;
    Ok(())
}

/// Grows with each call.
struct Growing(usize);

impl LimitAlgorithm for Growing {
    fn limit(&self) -> usize {
        self.0
    }

    fn sample(&mut self, _: &Sample) {
        self.0 += 1;
    }

    /// Each sample is to be seen as its call ends.
    fn may_wait(&self) -> usize {
        0
    }
}

type Running = Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

const KEY: u64 = 7;

/// Has `change` bring a second slot, with one call in flight and another that waits, whose waker
/// brings a fifth.
fn comes_back(limit: Limit, change: fn(&BulkheadHandle, &mut Running)) {
    ends(move || {
        let layer = BulkheadLayer::builder("payments", limit)
            .max_queue(1)
            .max_wait(SECOND)
            .key(|(): &()| Key::of(KEY))
            .registry(&Registry::new())
            .build();
        let handle = layer.handle();
        let mut service = layer.layer(service_fn(|()| answer()));
        let mut first: Running = Box::pin(service.call(()));
        let mut noop = Context::from_waker(Waker::noop());
        assert_pending!(first.as_mut().poll(&mut noop));
        let hand = handle.clone();
        let waker = waker(move || hand.resize(5).unwrap());
        let mut second = Box::pin(service.call(()));
        assert_pending!(second.as_mut().poll(&mut Context::from_waker(&waker)));

        change(&handle, &mut first);

        assert_eq!(handle.key(Key::of(KEY)).unwrap().limit(), 5);
        assert_eq!(handle.queued(), 0);
    });
}

#[test]
fn who_is_woken_by_a_change_of_all_may_make_another() {
    comes_back(Limit::from(1_usize), |handle, _first| {
        handle.resize(2).unwrap()
    });
}

#[test]
fn who_is_woken_by_a_change_of_one_key_may_make_another() {
    comes_back(Limit::from(1_usize), |handle, _first| {
        let of_key = handle.key(Key::of(KEY)).unwrap();
        of_key.resize(2).unwrap();
    });
}

#[test]
fn who_is_woken_by_a_limit_that_grows_may_change_it() {
    comes_back(Limit::custom(|| Growing(1)), |_, first| {
        let mut noop = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut noop).is_ready());
    });
}

#[test]
fn who_is_woken_by_a_change_of_an_isolate_layer_may_make_another() {
    ends(|| {
        let layer = IsolateLayer::builder("images", 1)
            .max_queue(1)
            .max_wait(SECOND)
            .runtime(Handle::current())
            .registry(&Registry::new())
            .build();
        let handle: IsolateHandle = layer.handle();
        let mut service = layer.layer(service_fn(|()| pending::<Result<(), BoxError>>()));
        let _first = service.call(());
        let hand = handle.clone();
        let waker = waker(move || hand.resize(5).unwrap());
        let mut second = Box::pin(service.call(()));
        assert_pending!(second.as_mut().poll(&mut Context::from_waker(&waker)));

        handle.resize(2).unwrap();

        assert_eq!((handle.limit(), handle.queued()), (5, 0));
    });
}
