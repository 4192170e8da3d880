//! A timeout that follows the service. How well it does is shown by the simulation beside it.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Context, Key, Mode, Name, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_timeout::{
    Adaptive, FromConfig, Learnt, TimeLimit, TimeoutBuilder, TimeoutConfig, TimeoutHandle,
    TimeoutLayer,
};

use crate::stage::MS;

fn builder() -> TimeoutBuilder<Learnt> {
    TimeoutLayer::adaptive("search").registry(&Registry::new())
}

/// A service whose calls take so long, and fail with this error if there is one.
#[derive(Default)]
struct Backend {
    takes: Cell<Duration>,
    error: Cell<Option<&'static str>>,
}

impl Backend {
    fn new(takes: Duration) -> Rc<Self> {
        let backend = Self::default();
        backend.takes.set(takes);
        Rc::new(backend)
    }

    fn service<L>(self: &Rc<Self>, layer: &L) -> L::Service
    where
        L: Layer<Boxed>,
    {
        let backend = Rc::clone(self);
        layer.layer(Boxed(backend))
    }
}

/// A service of a backend, with a name.
#[derive(Clone)]
struct Boxed(Rc<Backend>);

impl Service<&'static str> for Boxed {
    type Response = ();
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>>>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), BoxError>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: &'static str) -> Self::Future {
        let (takes, error) = (self.0.takes.get(), self.0.error.get());
        Box::pin(async move {
            sleep(takes).await;
            error.map_or(Ok(()), |error| Err(error.into()))
        })
    }
}

async fn calls<S>(service: &mut S, n: u32)
where
    S: Service<&'static str, Response = (), Error = BoxError>,
{
    for _ in 0..n {
        let _ = service.call("any").await;
    }
}

fn about(found: Option<Duration>, expected: Duration) -> bool {
    found.is_some_and(|found| found >= expected && found <= expected.mul_f64(1.1))
}

#[tokio::test(start_paused = true)]
async fn is_learnt_when_the_warm_up_is_over() {
    let layer = builder().build();
    let handle = layer.handle();
    let mut service = Backend::new(40 * MS).service(&layer);

    calls(&mut service, 99).await;
    assert_eq!(handle.timeout(), Some(Adaptive::MAX));
    calls(&mut service, 1).await;

    assert!(about(handle.timeout(), 60 * MS), "{:?}", handle.timeout());
}

#[tokio::test(start_paused = true)]
async fn as_many_explore_as_new_settings_say() {
    let layer = builder().explore(0.001).build();
    let backend = Backend::new(10 * MS);
    let mut service = backend.service(&layer);
    calls(&mut service, 200).await;
    assert_eq!(layer.handle().snapshot().explored, 0);
    backend.takes.set(Adaptive::MAX * 2);
    calls(&mut service, 500).await;
    assert_eq!(layer.handle().snapshot().explored, 4);

    let adaptive = Adaptive {
        explore: 0.1,
        ..Adaptive::default()
    };
    let config = TimeoutConfig {
        limit: adaptive.into(),
        ..layer.handle().config()
    };
    layer.handle().reconfigure(config).unwrap();
    calls(&mut service, 500).await;

    // One in ten of the others, and three ahead of their turn again.
    assert_eq!(layer.handle().snapshot().explored, 4 + 48);
}

#[tokio::test(start_paused = true)]
async fn ends_calls_that_take_longer_and_lets_some_explore() {
    let layer = builder().build();
    let handle = layer.handle();
    let backend = Backend::new(40 * MS);
    let mut service = backend.service(&layer);
    calls(&mut service, 200).await;
    let before = handle.snapshot();

    backend.takes.set(Duration::from_secs(86_400));
    calls(&mut service, 500).await;

    let after = handle.snapshot();
    assert_eq!(after.timed_out - before.timed_out, 500);
    let explored = after.explored - before.explored;
    assert!((5..=9).contains(&explored), "{explored}");
    assert_eq!(after.timeout, before.timeout);
}

#[tokio::test(start_paused = true)]
async fn one_that_explores_ends_with_its_deadline() {
    let layer = builder().build();
    let backend = Backend::new(40 * MS);
    let mut service = backend.service(&layer);
    calls(&mut service, 200).await;
    let limit = layer.handle().timeout().unwrap();
    backend.takes.set(Adaptive::MAX * 2);

    let start = tokio::time::Instant::now();
    let patient = Context {
        deadline: Some(start + 10 * limit),
        ..Context::default()
    };
    let error = patient.call(&mut service, "any").await.unwrap_err();

    let reason = Rejection::find(&*error).unwrap().reason();
    assert_eq!(reason, Reason::DeadlineExceeded);
    assert_eq!(layer.handle().snapshot().explored, 1);
    let took = tokio::time::Instant::now() - start;
    assert!(
        took >= 10 * limit && took <= 10 * limit + 2 * MS,
        "{took:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn one_that_explores_and_panics_has_failed() {
    let layer = builder().build();
    let handle = layer.handle();
    let mut service = layer.layer(service_fn(|panics: bool| async move {
        sleep(if panics { 200 * MS } else { 40 * MS }).await;
        assert!(!panics, "the inner service panics");
        Ok::<_, BoxError>(())
    }));
    for _ in 0..200 {
        service.call(false).await.unwrap();
    }
    let before = handle.timeout();

    let panicked = tokio::spawn(service.call(true)).await.unwrap_err();

    assert!(panicked.is_panic());
    assert_eq!(handle.snapshot().explored, 1);
    assert_eq!((handle.in_flight(), handle.timeout()), (0, before));
    let counted = handle.snapshot();
    assert_eq!((counted.timed_out, counted.deadline_exceeded), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn failures_and_callers_that_do_not_wait_leave_what_is_known() {
    let layer = builder().build();
    let handle = layer.handle();
    let backend = Backend::new(40 * MS);
    let mut service = backend.service(&layer);
    calls(&mut service, 200).await;
    let before = handle.timeout();

    backend.takes.set(MS);
    backend.error.set(Some("broken"));
    // Enough to take the place of all that was known.
    calls(&mut service, 5_000).await;

    backend.takes.set(Duration::from_secs(86_400));
    backend.error.set(None);
    for _ in 0..500 {
        timeout(5 * MS, service.call("any")).await.unwrap_err();
    }
    for _ in 0..500 {
        let hurried = Context {
            deadline: Some(tokio::time::Instant::now() + 5 * MS),
            ..Context::default()
        };
        let error = hurried.call(&mut service, "any").await.unwrap_err();
        let reason = Rejection::find(&*error).unwrap().reason();
        assert_eq!(reason, Reason::DeadlineExceeded);
    }

    assert_eq!(handle.timeout(), before);
}

#[tokio::test(start_paused = true)]
async fn slow_calls_whose_callers_do_not_wait_are_not_forgotten() {
    for by_deadline in [false, true] {
        let layer = builder().build();
        let handle = layer.handle();
        let backend = Backend::new(5 * MS);
        let mut service = backend.service(&layer);
        // The last ones that anybody waits for.
        for call in 0..200 {
            backend
                .takes
                .set(if call % 10 == 0 { 500 * MS } else { 5 * MS });
            calls(&mut service, 1).await;
        }
        let before = handle.timeout();

        for call in 0..10_000 {
            backend
                .takes
                .set(if call % 10 == 0 { 500 * MS } else { 5 * MS });
            if by_deadline {
                let hurried = Context {
                    deadline: Some(tokio::time::Instant::now() + 20 * MS),
                    ..Context::default()
                };
                let _ = hurried.call(&mut service, "any").await;
            } else {
                let _ = timeout(20 * MS, service.call("any")).await;
            }
        }

        assert_eq!(handle.timeout(), before, "by a deadline: {by_deadline}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_which_callers_go_away_leaves_it_alone() {
    for by_deadline in [false, true] {
        let layer = builder().build();
        let handle = layer.handle();
        let backend = Backend::new(20 * MS);
        let mut service = backend.service(&layer);
        calls(&mut service, 200).await;
        let before = handle.timeout();

        backend.takes.set(Duration::from_secs(86_400));
        for _ in 0..3_000 {
            if by_deadline {
                let hurried = Context {
                    deadline: Some(tokio::time::Instant::now() + 1_000 * MS),
                    ..Context::default()
                };
                hurried.call(&mut service, "any").await.unwrap_err();
            } else {
                let _ = timeout(1_000 * MS, service.call("any")).await;
            }
        }

        assert_eq!(handle.timeout(), before, "by a deadline: {by_deadline}");
    }
}

#[tokio::test(start_paused = true)]
async fn few_calls_wait_for_a_service_that_hangs() {
    let layer = builder().build();
    let handle = layer.handle();
    let is_dead = Arc::new(AtomicBool::new(false));
    let dead = Arc::clone(&is_dead);
    let mut service = layer.layer(service_fn(move |()| {
        let is_dead = dead.load(Ordering::Relaxed);
        async move {
            sleep(if is_dead { Adaptive::MAX * 2 } else { 5 * MS }).await;
            Ok::<_, BoxError>(())
        }
    }));
    for _ in 0..200 {
        service.call(()).await.unwrap();
    }

    is_dead.store(true, Ordering::Relaxed);
    let mut most = 0;
    for _ in 0..5_000 {
        tokio::spawn(service.call(()));
        sleep(10 * MS).await;
        most = most.max(handle.in_flight());
    }

    // The eight, one or two that are cut off soon, and one that waits for sixteen times as long.
    assert!((9..=12).contains(&most), "{most}");
    // One in a hundred, and three ahead of their turn.
    assert_eq!(handle.snapshot().explored, 53);
}

#[tokio::test(start_paused = true)]
async fn moves_in_shadow_as_if_calls_were_ended() {
    let layer = builder().mode(Mode::Shadow).build();
    let handle = layer.handle();
    let backend = Backend::new(40 * MS);
    let mut service = backend.service(&layer);
    calls(&mut service, 200).await;
    let before = handle.timeout();
    assert!(about(before, 60 * MS));

    // An hour is waited for, and is not learnt.
    backend.takes.set(Duration::from_secs(3600));
    calls(&mut service, 50).await;

    let counted = handle.snapshot();
    assert_eq!((counted.timed_out, counted.timeout), (0, before));
    assert!(counted.in_shadow >= 45);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_its_own() {
    let layer = builder()
        .key(|request: &&'static str| (*request != "none").then(|| Key::of(*request)))
        .key_label(|request: &&'static str| (*request).to_owned())
        .build();
    let handle = layer.handle();
    let (near, far) = (Backend::new(20 * MS), Backend::new(200 * MS));
    for (backend, key) in [(near, "near"), (far, "far")] {
        let mut service = backend.service(&layer);
        for _ in 0..150 {
            service.call(key).await.unwrap();
        }
    }

    let of = |key: &str| -> TimeoutHandle { handle.key(Key::of(key)).unwrap() };
    assert!(about(of("near").timeout(), 30 * MS));
    assert!(about(of("far").timeout(), 300 * MS));
    assert_eq!(of("far").key_label(), Some("far"));
    assert_eq!(handle.keys().len(), 2);
    assert!(handle.key(Key::of("none")).is_none());
    // That of calls without a key.
    assert_eq!(handle.timeout(), Some(Adaptive::MAX));
}

#[tokio::test(start_paused = true)]
async fn keys_are_bounded() {
    let registry = Registry::new();
    let layer = TimeoutLayer::adaptive("search")
        .key(|request: &&'static str| Key::of(*request))
        .max_keys(3)
        .registry(&registry)
        .build();
    let mut service = Backend::new(MS).service(&layer);

    for n in 0..100 {
        let key = Name::new(&format!("key {n}")).as_str();
        service.call(key).await.unwrap();
    }

    let seen = registry.snapshot().instances.remove(0);
    assert_eq!((seen.keys, seen.keys_evicted), (Some(3), Some(97)));
    assert_eq!(layer.handle().in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_which_somebody_holds_a_handle_is_not_forgotten() {
    let layer = builder()
        .key(|request: &&'static str| Key::of(*request))
        .max_keys(1)
        .build();
    let mut service = Backend::new(MS).service(&layer);
    service.call("a").await.unwrap();
    let held = layer.handle().key(Key::of("a"));

    service.call("b").await.unwrap();
    assert!(layer.handle().key(Key::of("b")).is_none());

    drop(held);
    service.call("b").await.unwrap();
    assert!(layer.handle().key(Key::of("b")).is_some());
}

#[tokio::test(start_paused = true)]
async fn new_settings_apply_to_what_is_known() {
    let layer = builder().build();
    let handle = layer.handle();
    let mut service = Backend::new(40 * MS).service(&layer);
    calls(&mut service, 200).await;

    let wider = Adaptive {
        multiplier: 3.0,
        ..Adaptive::default()
    };
    let config = TimeoutConfig {
        limit: TimeLimit::Adaptive(wider),
        ..handle.config()
    };
    handle.reconfigure(config).unwrap();

    assert!(about(handle.timeout(), 120 * MS), "{:?}", handle.timeout());
}

#[tokio::test(start_paused = true)]
async fn stays_between_its_bounds() {
    for (takes, expected) in [(MS, 20 * MS), (Duration::from_secs(9), 500 * MS)] {
        let layer = builder().min(20 * MS).max(500 * MS).build();
        let mut service = Backend::new(takes).service(&layer);

        calls(&mut service, 300).await;

        assert_eq!(layer.handle().timeout(), Some(expected));
    }
}

/// Settings come from a file as well.
#[tokio::test(start_paused = true)]
async fn is_built_from_a_config() {
    let config = TimeoutConfig {
        limit: Adaptive::default().into(),
        ..TimeoutConfig::default()
    };
    let layer = TimeoutLayer::from_config("search", config)
        .key(|(): &()| Key::of("one"))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));

    service.call(()).await.unwrap();

    assert_eq!(layer.handle().keys(), [Key::of("one")]);
}

fn from_config(limit: TimeLimit) -> TimeoutBuilder<FromConfig> {
    let config = TimeoutConfig {
        limit,
        ..TimeoutConfig::default()
    };
    TimeoutLayer::from_config("search", config).registry(&Registry::new())
}

#[tokio::test(start_paused = true)]
async fn calls_with_a_limit_of_their_own_say_nothing() {
    let layer = from_config(Adaptive::default().into())
        .per_request(|_: &&'static str| Some(1_000 * MS))
        .build();
    let mut service = Backend::new(40 * MS).service(&layer);

    calls(&mut service, 200).await;

    assert_eq!(layer.handle().timeout(), Some(Adaptive::MAX));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_learnt_has_no_keys() {
    let layer = from_config(TimeLimit::Fixed(1_000 * MS))
        .key(|request: &&'static str| Key::of(*request))
        .build();
    let mut service = Backend::new(40 * MS).service(&layer);

    calls(&mut service, 3).await;

    assert_eq!(layer.handle().keys(), []);
}
