//! A breaker for each key.

use std::future::ready;
use std::thread;
use std::time::Duration;

use tokio::time::advance;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use watertight_breaker::{BreakerConfig, BreakerHandle, BreakerLayer, State};
use watertight_core::{Key, Mode, Rejection, Window};
use watertight_metrics::{Registry, What};

/// Which tenant calls, and whether that goes well.
type Call = (&'static str, bool);

struct Tenants<S> {
    service: S,
    breaker: BreakerHandle,
    registry: Registry,
}

/// A breaker for each tenant but `guest`, who share one.
fn tenants(max_keys: usize) -> Tenants<impl Service<Call, Response = (), Error = BoxError>> {
    let registry = Registry::new();
    let layer = BreakerLayer::builder("payments")
        .consecutive_failures(2)
        .key(|(tenant, _): &Call| (*tenant != "guest").then(|| Key::of(*tenant)))
        .key_label(|(tenant, _): &Call| (*tenant).to_owned())
        .max_keys(max_keys)
        .key_idle(Duration::from_secs(60))
        .registry(&registry)
        .build();
    let backend = service_fn(|(_, well): Call| async move {
        if well {
            Ok(())
        } else {
            Err(BoxError::from("broken"))
        }
    });
    Tenants {
        service: layer.layer(backend),
        breaker: layer.handle(),
        registry,
    }
}

impl<S: Service<Call, Response = (), Error = BoxError>> Tenants<S> {
    async fn call(&mut self, tenant: &'static str, well: bool) -> Result<(), BoxError> {
        self.service.ready().await?.call((tenant, well)).await
    }

    async fn fail(&mut self, tenant: &'static str) {
        for _ in 0..2 {
            self.call(tenant, false).await.unwrap_err();
        }
    }

    async fn is_refused(&mut self, tenant: &'static str) -> bool {
        match self.call(tenant, true).await {
            Ok(()) => false,
            Err(error) => Rejection::find(&*error).is_some(),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn one_key_does_not_open_the_breaker_of_another() {
    let mut tenants = tenants(100);

    tenants.fail("a").await;

    assert!(tenants.is_refused("a").await);
    assert!(!tenants.is_refused("b").await);
    assert!(!tenants.is_refused("guest").await);
    tenants.fail("guest").await;
    assert!(tenants.is_refused("guest").await);
    assert!(!tenants.is_refused("b").await);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_handle_and_a_label() {
    let mut tenants = tenants(100);
    tenants.fail("a").await;
    tenants.call("b", true).await.unwrap();

    let breaker = &tenants.breaker;
    let a = breaker.key(Key::of("a")).unwrap();
    assert_eq!((a.state(), a.key_label()), (State::Open, Some("a")));
    assert_eq!(breaker.key(Key::of("b")).unwrap().state(), State::Closed);
    assert!(breaker.key(Key::of("c")).is_none());
    assert_eq!(breaker.keys().len(), 2);
    assert_eq!(breaker.state(), State::Open, "the gravest");

    a.reset();
    assert!(!tenants.is_refused("a").await);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_to_the_layer_is_done_to_all_keys_and_to_new_ones() {
    let mut tenants = tenants(100);
    tenants.call("a", true).await.unwrap();

    tenants.breaker.force_open();

    assert!(tenants.is_refused("a").await);
    assert!(tenants.is_refused("new").await);
    assert!(tenants.is_refused("guest").await);
    tenants.breaker.release();
    assert!(!tenants.is_refused("a").await);
    assert!(!tenants.is_refused("new").await);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_comes_after_a_release_begins_closed() {
    let layer = BreakerLayer::builder("payments")
        .key(|tenant: &u64| Key::of(*tenant))
        .start(State::ForcedOpen)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, BoxError>(()))));
    service.call(1).await.unwrap_err();

    layer.handle().release();

    service.call(1).await.unwrap();
    service.call(2).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn while_it_is_off_keys_are_not_told_apart() {
    let layer = BreakerLayer::builder("payments")
        .key(|_: &u64| -> Key { panic!("asked for a key") })
        .mode(Mode::Off)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, BoxError>(()))));

    service.call(1).await.unwrap();

    assert!(layer.handle().keys().is_empty());
}

#[test]
fn a_change_of_the_settings_reaches_keys_that_come_meanwhile() {
    const KEYS: u64 = 20_000;
    const CHANGES: u32 = 200;

    let layer = BreakerLayer::builder("payments")
        .key(|tenant: &u64| Key::of(*tenant))
        .window(Window::calls(10))
        .max_keys(KEYS as usize)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, BoxError>(()))));
    let handle = layer.handle();

    let mut min_calls = 0;
    thread::scope(|scope| {
        let calls = scope.spawn(move || {
            for tenant in 0..KEYS {
                drop(service.call(tenant));
            }
        });
        while !calls.is_finished() {
            min_calls = min_calls % CHANGES + 1;
            let config = BreakerConfig {
                min_calls,
                // A count window that holds fewer calls would cap it.
                window: Window::calls(CHANGES),
                max_keys: KEYS as usize,
                ..BreakerConfig::default()
            };
            handle.reconfigure(config).unwrap();
        }
    });

    for key in handle.keys() {
        let seen = handle.key(key).unwrap().snapshot().min_calls;
        assert_eq!(seen, min_calls);
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_of_which_somebody_holds_a_handle_is_not_forgotten() {
    let mut tenants = tenants(1);
    tenants.call("a", true).await.unwrap();
    let held = tenants.breaker.key(Key::of("a")).unwrap();

    tenants.call("b", true).await.unwrap();
    advance(Duration::from_secs(3_600)).await;
    tenants.call("b", true).await.unwrap();
    assert_eq!(tenants.breaker.keys(), [Key::of("a")]);

    drop(held);
    tenants.call("b", true).await.unwrap();
    assert_eq!(tenants.breaker.keys(), [Key::of("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_somebody_has_forced_is_not_forgotten() {
    let mut tenants = tenants(1);
    tenants.call("a", true).await.unwrap();
    tenants.breaker.key(Key::of("a")).unwrap().force_closed();

    tenants.call("b", true).await.unwrap();
    advance(Duration::from_secs(3_600)).await;
    tenants.call("c", true).await.unwrap();

    let a = tenants.breaker.key(Key::of("a")).unwrap();
    assert_eq!(a.state(), State::ForcedClosed);
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_that_nobody_asks_for_makes_room_in_the_end() {
    let mut tenants = tenants(1);
    tenants.fail("a").await;
    // 60 s open, and as long idle.
    advance(Duration::from_secs(119)).await;
    tenants.call("b", true).await.unwrap();
    assert!(tenants.breaker.key(Key::of("b")).is_none());

    advance(Duration::from_secs(2)).await;
    tenants.call("b", true).await.unwrap();

    assert!(tenants.breaker.key(Key::of("b")).is_some());
}

#[tokio::test(start_paused = true)]
async fn an_open_breaker_is_never_forgotten_for_a_new_key() {
    let mut tenants = tenants(2);
    let mut events = tenants.registry.subscribe();
    tenants.fail("a").await;
    tenants.call("b", true).await.unwrap();
    tenants.call("c", true).await.unwrap();
    assert!(tenants.is_refused("a").await);
    assert_eq!(
        tenants.registry.snapshot().instances[0].keys_evicted,
        Some(1)
    );

    // With all places taken by open breakers, new keys share one.
    tenants.fail("c").await;
    tenants.fail("d").await;
    assert!(tenants.is_refused("e").await);
    assert_eq!(tenants.breaker.keys().len(), 2);

    let mut overflowed = 0;
    for _ in 0..4 {
        let event = events.next().await.unwrap().unwrap();
        match event.what {
            What::KeysOverflowed => overflowed += 1,
            What::StateChanged(change) => assert_eq!(change.to, "open"),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(overflowed, 1);
}

#[tokio::test(start_paused = true)]
async fn an_idle_key_is_forgotten_and_what_it_counted_is_not() {
    let mut tenants = tenants(100);
    tenants.call("a", true).await.unwrap();
    tenants.call("a", false).await.unwrap_err();
    assert_eq!(tenants.registry.snapshot().instances[0].keys, Some(1));

    advance(Duration::from_secs(61)).await;

    let counted = &tenants.registry.snapshot().instances[0];
    assert_eq!(counted.keys, Some(0));
    assert_eq!((counted.calls.success, counted.calls.failure), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_are_counted_for_each_key_and_handles_are_not() {
    let registry = Registry::new();
    let layer = BreakerLayer::builder("payments")
        .key(|tenant: &&str| Key::of(*tenant))
        .registry(&registry)
        .build();
    let mut service = layer.layer(service_fn(|_: &'static str| {
        std::future::pending::<Result<(), BoxError>>()
    }));
    let _one = service.call("a");
    let two = service.call("a");
    let _three = service.call("b");
    let a = layer.handle().key(Key::of("a")).unwrap();
    let again = a.clone();

    assert_eq!((a.in_flight(), layer.handle().in_flight()), (2, 3));
    drop(two);
    drop(again);
    assert_eq!((a.in_flight(), layer.handle().in_flight()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_key_takes_about_two_kilobytes() {
    const KEYS: u64 = 1_000;

    let mut layer = None;
    let taken = allocation_counter::measure(|| {
        let made = BreakerLayer::builder("payments")
            .key(|tenant: &u64| Key::of(*tenant))
            .registry(&Registry::new())
            .build();
        let mut service = made.layer(service_fn(|_: u64| ready(Ok::<_, BoxError>(()))));
        for tenant in 0..KEYS {
            drop(service.call(tenant));
        }
        layer = Some((made, service));
    });

    let each = taken.bytes_current / KEYS as i64;
    println!("{each} bytes to a key");
    assert!(each < 2_500);
}

#[test]
fn who_looks_at_idle_keys_is_no_call() {
    let layer = BreakerLayer::builder("payments")
        .key(|tenant: &u64| Key::of(*tenant))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, BoxError>(()))));
    for tenant in 0..500 {
        drop(service.call(tenant));
    }
    let handle = layer.handle();
    let other = handle.clone();

    let most = thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..500 {
                assert_eq!(other.state(), State::Closed);
            }
        });
        (0..500).map(|_| handle.in_flight()).max()
    });

    assert_eq!(most, Some(0));
}
