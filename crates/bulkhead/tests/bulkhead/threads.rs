//! Calls of many threads at once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::thread;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadLayer, Limit};
use watertight_core::{Key, Priority};
use watertight_metrics::Registry;

const THREADS: u64 = 4;
const CALLS: u64 = 20_000;

/// A backend that answers at its second poll, and notes how many calls there are at once.
#[derive(Clone, Default)]
struct Backend {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Inside(Backend);

impl Backend {
    fn enter(&self) -> Inside {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(inside, Ordering::SeqCst);
        Inside(self.clone())
    }

    async fn answer(self) -> Result<(), BoxError> {
        let _inside = self.enter();
        let mut polled = false;
        poll_fn(|_| match polled {
            true => Poll::Ready(Ok(())),
            false => {
                polled = true;
                Poll::Pending
            }
        })
        .await
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.inside.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Makes calls that are polled once or twice, or not at all, and keeps some for a while. A call that
/// waits is dropped: nobody is there to wake.
fn storm<S>(mut service: S, seed: u64)
where
    S: Service<u64, Response = (), Error = BoxError>,
{
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..CALLS {
        let mut first = pin!(service.call(random.random_range(0..3)));
        let mut second = pin!(service.call(random.random_range(0..3)));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..random.random_range(0..3) {
            if first.as_mut().poll(&mut context).is_ready() {
                break;
            }
            if second.as_mut().poll(&mut context).is_ready() {
                break;
            }
        }
    }
}

#[test]
fn no_more_calls_are_in_flight_than_may_be_and_none_is_lost() {
    for limit in [1, 3, 40] {
        let registry = Registry::new();
        let backend = Backend::default();
        let layer = BulkheadLayer::builder("storm", limit)
            .reserve(Priority::Critical, 0.2)
            .registry(&registry)
            .build();

        let inner = backend.clone();
        let service = layer.layer(service_fn(move |_: u64| inner.clone().answer()));
        thread::scope(|scope| {
            for seed in 0..THREADS {
                let service = service.clone();
                scope.spawn(move || storm(service, seed));
            }
        });

        assert!(backend.most.load(Ordering::SeqCst) <= limit as usize);
        let handle = layer.handle();
        assert_eq!(handle.in_flight(), 0);
        let calls = registry.snapshot().instances[0].calls;
        let counted: u64 = calls.named().iter().map(|(_, count)| count).sum();
        assert_eq!(counted, 2 * THREADS * CALLS);
    }
}

#[test]
fn a_limit_that_moves_loses_no_slot() {
    let backend = Backend::default();
    let layer = BulkheadLayer::builder("storm", 10)
        .key(|key: &u64| (*key > 0).then(|| Key::of(*key)))
        .total(12)
        .registry(&Registry::new())
        .build();
    let inner = backend.clone();
    let service = layer.layer(service_fn(move |_: u64| inner.clone().answer()));
    let handle = layer.handle();

    thread::scope(|scope| {
        let storms: Vec<_> = (0..THREADS)
            .map(|seed| {
                let service = service.clone();
                scope.spawn(move || storm(service, seed))
            })
            .collect();
        let mut limit = 1;
        while storms.iter().any(|storm| !storm.is_finished()) {
            limit = limit % 50 + 1;
            handle.resize(limit).unwrap();
        }
    });

    assert!(backend.most.load(Ordering::SeqCst) <= 12);
    assert_eq!(handle.in_flight(), 0);
    for key in handle.keys() {
        assert_eq!(handle.key(key).unwrap().in_flight(), 0);
    }
}

#[test]
fn a_limit_that_learns_loses_no_slot() {
    let layer = BulkheadLayer::builder("storm", Limit::adaptive())
        .registry(&Registry::new())
        .build();
    let service = layer.layer(service_fn(move |_: u64| Backend::default().answer()));

    thread::scope(|scope| {
        for seed in 0..THREADS {
            let service = service.clone();
            scope.spawn(move || storm(service, seed));
        }
    });

    assert_eq!(layer.handle().in_flight(), 0);
    assert!(layer.handle().limit() >= 1);
}
