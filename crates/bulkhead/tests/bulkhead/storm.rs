//! A million calls at random: awaited, given up, timed out, dropped unpolled, or panicking, under
//! limits that move.

use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep, timeout};
use tokio_test::task;
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadBuilder, BulkheadHandle, BulkheadLayer, Order};
use watertight_core::{Context, Key, Mode, Priority};
use watertight_metrics::Registry;

use crate::stage::{MS, SECOND};

const ORDERS: [Order; 4] = [Order::Fifo, Order::Lifo, Order::Priority, Order::CoDel];
const TASKS: u64 = 40;
const CALLS: u64 = 1_000_000 / TASKS / ORDERS.len() as u64;
/// The most calls in flight of all keys together.
const TOTAL: usize = 10;

/// What becomes of a call at the backend.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Answers,
    Takes(u32),
    Fails,
    PanicsAtOnce,
    PanicsLater,
}

#[derive(Clone, Copy, Debug)]
struct Request {
    key: u64,
    fate: Fate,
}

impl Request {
    fn random(random: &mut SmallRng) -> Self {
        let fate = match random.random_range(0..20) {
            0 => Fate::PanicsAtOnce,
            1 => Fate::PanicsLater,
            2 => Fate::Fails,
            3..10 => Fate::Takes(random.random_range(0..5)),
            _ => Fate::Answers,
        };
        Self {
            key: random.random_range(0..4),
            fate,
        }
    }
}

/// A backend that notes how many calls there are at once, and how many there may be.
#[derive(Clone, Default)]
struct Backend {
    inside: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

struct Inside(Arc<AtomicUsize>);

impl Backend {
    fn call(self, request: Request) -> impl Future<Output = Result<(), BoxError>> {
        let inside = self.inside.fetch_add(1, Ordering::SeqCst) + 1;
        let guard = Inside(self.inside);
        self.most.fetch_max(inside, Ordering::SeqCst);
        if matches!(request.fate, Fate::PanicsAtOnce) {
            resume_unwind(Box::new(()));
        }
        async move {
            let _guard = guard;
            match request.fate {
                Fate::Takes(0) => yield_now().await,
                Fate::Takes(time) => sleep(time * MS).await,
                Fate::Fails => return Err("reset by peer".into()),
                Fate::PanicsLater => {
                    yield_now().await;
                    resume_unwind(Box::new(()))
                }
                Fate::Answers | Fate::PanicsAtOnce => {}
            }
            Ok(())
        }
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Polls a future to its end, or to its panic.
async fn catch<F: Future>(mut future: Pin<&mut F>) {
    poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx).is_ready()));
        if polled.unwrap_or(true) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// Makes calls one after the other.
async fn storm<S>(mut service: S, handle: BulkheadHandle, seed: u64)
where
    S: Service<Request, Response = (), Error = BoxError>,
{
    let mut random = SmallRng::seed_from_u64(seed);
    for _ in 0..CALLS {
        let request = Request::random(&mut random);
        let context = Context {
            priority: [Priority::Critical, Priority::Normal, Priority::Low]
                [random.random_range(0..3)],
            deadline: random
                .random_bool(0.3)
                .then(|| Instant::now() + random.random_range(0..20) * MS),
            ..Context::default()
        };
        let made = catch_unwind(AssertUnwindSafe(|| context.enter(|| service.call(request))));
        let Ok(call) = made else { continue };
        let mut call = pin!(call);
        match random.random_range(0..10) {
            0 => {}
            1 => handle.resize(random.random_range(1..=12_usize)).unwrap(),
            2..5 => {
                let patience = random.random_range(0..4) * MS;
                let _ = timeout(patience, catch(call.as_mut())).await;
            }
            _ => catch(call.as_mut()).await,
        }
    }
}

fn builder(order: Order, registry: &Registry) -> BulkheadBuilder {
    BulkheadLayer::builder("storm", 8)
        .order(order)
        .max_queue(6)
        .reserve(Priority::Critical, 0.1)
        .partition("web", 0.5)
        .registry(registry)
}

/// Returns how many get in at once of many calls that are made now.
///
/// The figures of a handle do not tell: a slot that was handed out twice and has come back twice is
/// one that nobody misses.
fn get_in<S>(service: &mut S, backend: &Backend, key: u64) -> usize
where
    S: Service<Request, Response = (), Error = BoxError>,
{
    let critical = Context {
        priority: Priority::Critical,
        ..Context::default()
    };
    let fate = Fate::Takes(0);
    let make = |_| {
        let call = || service.call(Request { key, fate });
        task::spawn(critical.clone().enter(call))
    };
    let mut calls: Vec<_> = (0..2 * TOTAL).map(make).collect();
    for call in &mut calls {
        let _ = call.poll();
    }
    backend.inside.load(Ordering::SeqCst)
}

/// Drives the storm of all tasks over one bulkhead, and returns when all calls have ended.
async fn play(
    order: Order,
    registry: &Registry,
) -> (
    impl Service<Request, Response = (), Error = BoxError>,
    BulkheadHandle,
    Backend,
) {
    let backend = Backend::default();
    let layer = builder(order, registry)
        .max_wait(3 * MS)
        .total(TOTAL)
        .partition_by(|request: &Request| (request.key % 2 == 1).then_some("web"))
        .key(|request: &Request| (request.key > 0).then(|| Key::of(request.key)))
        .build();
    let handle = layer.handle();
    let inner = backend.clone();
    let service = layer.layer(service_fn(move |request| inner.clone().call(request)));
    let storms = (0..TASKS).map(|seed| {
        let (service, handle) = (service.clone(), handle.clone());
        tokio::spawn(storm(service, handle, seed))
    });
    for storm in storms.collect::<Vec<_>>() {
        storm.await.unwrap();
    }
    (service, handle, backend)
}

#[tokio::test(start_paused = true)]
async fn a_million_calls_of_all_kinds_lose_no_slot_and_double_none() {
    for order in ORDERS {
        let registry = Registry::new();

        let (mut service, handle, backend) = play(order, &registry).await;

        assert!(backend.most.load(Ordering::SeqCst) <= TOTAL, "{order:?}");
        assert_eq!((handle.in_flight(), handle.queued()), (0, 0), "{order:?}");
        assert_eq!(handle.partition("web").unwrap().in_flight, 0);
        for key in handle.keys() {
            let key = handle.key(key).unwrap();
            assert_eq!((key.in_flight(), key.queued()), (0, 0), "{order:?}");
        }
        let counted = registry.snapshot().instances.pop().unwrap();
        let calls: u64 = counted.calls.named().iter().map(|(_, count)| count).sum();
        assert_eq!(calls, TASKS * CALLS, "{order:?}: {:?}", counted.calls);
        for rejections in &counted.rejections {
            let may_be_none = rejections.mode == Mode::Shadow;
            assert!(may_be_none || rejections.count > 0, "{rejections:?}");
        }
        for limit in [TOTAL / 2, TOTAL + 1] {
            handle.resize(limit).unwrap();
            for key in 0..4 {
                let inside = get_in(&mut service, &backend, key);
                assert_eq!(inside, limit.min(TOTAL), "{order:?}: {key}");
            }
        }
    }
}

/// Whoever is not woken waits for ever, and the test with him.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_threads_everybody_who_waits_is_woken() {
    let registry = Registry::new();
    let backend = Backend::default();
    let layer = BulkheadLayer::builder("storm", 3)
        .max_queue(TASKS as usize)
        .max_wait(3_600 * SECOND)
        .registry(&registry)
        .build();
    let handle = layer.handle();
    let inner = backend.clone();
    let mut service = layer.layer(service_fn(move |request| inner.clone().call(request)));

    let storms = (0..TASKS).map(|seed| {
        let mut service = service.clone();
        tokio::spawn(async move {
            let mut random = SmallRng::seed_from_u64(seed);
            for _ in 0..2_000 {
                let fate = Fate::Takes(0);
                let mut call = pin!(service.call(Request { key: 0, fate }));
                // One in four is given up, with or without its slot.
                let give_up = match random.random_bool(0.25) {
                    true => random.random_range(0..4),
                    false => usize::MAX,
                };
                let mut polls = 0;
                poll_fn(|cx| {
                    polls += 1;
                    if polls > give_up {
                        return Poll::Ready(());
                    }
                    if give_up < usize::MAX {
                        cx.waker().wake_by_ref();
                    }
                    call.as_mut().poll(cx).map(|answer| answer.unwrap())
                })
                .await;
            }
        })
    });
    for storm in storms.collect::<Vec<_>>() {
        storm.await.unwrap();
    }

    assert!(backend.most.load(Ordering::SeqCst) <= 3);
    assert_eq!((handle.in_flight(), handle.queued()), (0, 0));
    let calls = registry.snapshot().instances[0].calls;
    assert_eq!(calls.success + calls.cancelled, TASKS * 2_000);
    assert_eq!(get_in(&mut service, &backend, 0), 3);
}
