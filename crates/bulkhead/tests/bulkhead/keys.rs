//! A bulkhead for each key.

use std::future::ready;
use std::thread;
use std::time::Duration;

use tokio::time::advance;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready_err, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadBuilder, BulkheadConfig, BulkheadHandle, BulkheadLayer, Limit};
use watertight_core::{Key, Mode, Reason, Rejection};
use watertight_metrics::{Registry, What};

use crate::adaptive::{Counts, counting};
use crate::stage::{MS, SECOND};

type Running = Spawn<std::pin::Pin<Box<dyn Future<Output = Result<(), BoxError>>>>>;

/// A bulkhead for each tenant but `guest`, who share one, around a service that never answers.
struct Tenants {
    call: Box<dyn FnMut(&'static str) -> Running>,
    bulkhead: BulkheadHandle,
    registry: Registry,
}

fn tenants(
    limit: impl Into<Limit>,
    settings: impl FnOnce(BulkheadBuilder) -> BulkheadBuilder,
) -> Tenants {
    let registry = Registry::new();
    let layer = settings(BulkheadLayer::builder("payments", limit))
        .key(|tenant: &&'static str| (*tenant != "guest").then(|| Key::of(*tenant)))
        .key_label(|tenant: &&'static str| (*tenant).to_owned())
        .key_idle(Duration::from_secs(60))
        .registry(&registry)
        .build();
    let mut service = layer.layer(service_fn(|_: &'static str| {
        std::future::pending::<Result<(), BoxError>>()
    }));
    Tenants {
        call: Box::new(move |tenant| {
            let future: std::pin::Pin<Box<dyn Future<Output = _>>> = Box::pin(service.call(tenant));
            spawn(future)
        }),
        bulkhead: layer.handle(),
        registry,
    }
}

impl Tenants {
    fn start(&mut self, tenant: &'static str) -> Running {
        let mut call = (self.call)(tenant);
        assert_pending!(call.poll(), "{tenant} was refused");
        call
    }

    fn refusal(&mut self, tenant: &'static str) -> Reason {
        let error = assert_ready_err!((self.call)(tenant).poll());
        Rejection::find(&*error).unwrap().reason()
    }

    fn of(&self, tenant: &'static str) -> BulkheadHandle {
        self.bulkhead.key(Key::of(tenant)).unwrap()
    }
}

#[tokio::test(start_paused = true)]
async fn one_key_takes_no_slot_of_another() {
    let mut tenants = tenants(2, |it| it);

    let _a = [tenants.start("a"), tenants.start("a")];

    assert_eq!(tenants.refusal("a"), Reason::BulkheadFull);
    let _b = tenants.start("b");
    let _guests = [tenants.start("guest"), tenants.start("guest")];
    assert_eq!(tenants.refusal("guest"), Reason::BulkheadFull);
}

#[tokio::test(start_paused = true)]
async fn all_keys_together_are_bounded_too() {
    let mut tenants = tenants(2, |it| it.total(3));
    let mut running = vec![tenants.start("a"), tenants.start("a"), tenants.start("b")];

    assert_eq!(tenants.refusal("b"), Reason::BulkheadFull);
    assert_eq!(tenants.refusal("guest"), Reason::BulkheadFull);

    // Who was refused by one gives back what it had of the other.
    assert_eq!(tenants.of("b").in_flight(), 1);
    assert_eq!(tenants.bulkhead.in_flight(), 3);
    running.pop();
    running.push(tenants.start("guest"));
    drop(running);
    assert_eq!(tenants.bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_call_may_wait_for_its_own_slot_and_then_for_one_of_all() {
    let mut tenants = tenants(1, |it| it.total(1).max_queue(5).max_wait(SECOND));
    let a = tenants.start("a");
    let mut second = tenants.start("a");
    let b = tenants.start("b");
    assert_eq!((tenants.of("a").queued(), tenants.of("b").queued()), (1, 0));
    assert_eq!(tenants.bulkhead.queued(), 2);
    assert_eq!(tenants.bulkhead.in_flight(), 1);

    // The second of a has its own slot now, and waits behind b for the other.
    drop(a);
    assert!(second.is_woken() && b.is_woken());
    assert_pending!(second.poll());
    assert_eq!(
        (tenants.of("a").queued(), tenants.bulkhead.queued()),
        (0, 1)
    );
    drop(b);

    assert!(second.is_woken());
    assert_pending!(second.poll());
    assert_eq!(
        (tenants.bulkhead.queued(), tenants.bulkhead.in_flight()),
        (0, 1)
    );
}

#[tokio::test(start_paused = true)]
async fn to_wait_twice_takes_no_longer_than_once() {
    let mut tenants = tenants(1, |it| it.total(1).max_queue(5).max_wait(SECOND));
    let a = tenants.start("a");
    let mut waiting = tenants.start("a");
    let _b = tenants.start("b");
    advance(600 * MS).await;
    drop(a);
    assert_pending!(waiting.poll());

    advance(400 * MS).await;

    assert!(waiting.is_woken());
    let error = assert_ready_err!(waiting.poll());
    let refusal = Rejection::find(&*error).unwrap();
    assert_eq!(refusal.reason(), Reason::QueueTimeout);
    assert_eq!(tenants.of("a").in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_bound_on_all_keys_refuses_nothing() {
    let mut tenants = tenants(2, |it| it.total(1).mode(Mode::Shadow));

    let _running = [tenants.start("a"), tenants.start("b"), tenants.start("b")];

    assert_eq!(tenants.bulkhead.in_flight(), 1);
    assert_eq!(tenants.of("b").in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_key_has_a_handle_and_a_label() {
    let mut tenants = tenants(2, |it| it);
    let _running = [tenants.start("a"), tenants.start("a"), tenants.start("b")];

    let a = tenants.of("a");
    assert_eq!((a.in_flight(), a.limit(), a.key_label()), (2, 2, Some("a")));
    assert_eq!(tenants.of("b").utilization(), 0.5);
    assert!(tenants.bulkhead.key(Key::of("c")).is_none());
    assert_eq!(tenants.bulkhead.keys().len(), 2);
    assert_eq!(tenants.bulkhead.in_flight(), 3);
    assert_eq!(tenants.bulkhead.utilization(), 1.0, "that of the fullest");
    let counted = &tenants.registry.snapshot().instances[0];
    assert_eq!((counted.keys, counted.limit), (Some(2), None));
    assert_eq!(counted.utilization, Some(1.0));
}

#[tokio::test(start_paused = true)]
async fn a_key_may_have_a_limit_of_its_own() {
    let mut tenants = tenants(1, |it| it.max_keys(1));
    let running = tenants.start("a");

    tenants.of("a").resize(2).unwrap();

    let another = tenants.start("a");
    let _b = tenants.start("b");
    assert_eq!(tenants.refusal("b"), Reason::BulkheadFull);
    // What somebody has set by hand is not forgotten, however idle.
    drop((running, another));
    advance(Duration::from_secs(3_600)).await;
    let _c = tenants.refusal("c");
    assert_eq!(tenants.of("a").limit(), 2);

    tenants.bulkhead.resize(3).unwrap();
    assert_eq!(tenants.of("a").limit(), 3);
}

#[tokio::test(start_paused = true)]
async fn one_key_alone_may_learn_its_limit() {
    let counts = Counts::default();
    let layer = BulkheadLayer::builder("payments", 1)
        .key(|tenant: &&'static str| Key::of(*tenant))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: &str| ready(Ok::<_, BoxError>(()))));
    let handle = layer.handle();
    assert_ready_ok!(spawn(service.call("a")).poll());
    let a = handle.key(Key::of("a")).unwrap();

    a.resize(Limit::custom(counting(&counts, 3))).unwrap();
    handle.set_mode(Mode::Shadow);
    assert_ready_ok!(spawn(service.call("a")).poll());
    assert_ready_ok!(spawn(service.call("b")).poll());

    assert_eq!((counts.samples(), a.limit()), (1, 4));
    assert_eq!(handle.key(Key::of("b")).unwrap().limit(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_done_to_the_layer_is_done_to_all_keys_and_to_new_ones() {
    let mut tenants = tenants(1, |it| it);
    let _a = tenants.start("a");

    tenants.bulkhead.resize(2).unwrap();

    let _another = tenants.start("a");
    assert_eq!(tenants.refusal("a"), Reason::BulkheadFull);
    let _b = [tenants.start("b"), tenants.start("b")];
    assert_eq!(tenants.refusal("b"), Reason::BulkheadFull);
}

#[tokio::test(start_paused = true)]
async fn partitions_have_one_number_in_all_rooms() {
    let layer = BulkheadLayer::builder("payments", 4)
        .max_queue(1)
        .max_wait(SECOND)
        .partition("b", 0.5)
        .partition_by(|(_, partition): &(&str, &'static str)| Some(*partition))
        .key(|(tenant, _): &(&'static str, &str)| Key::of(*tenant))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: (&'static str, &'static str)| {
        std::future::pending::<Result<(), BoxError>>()
    }));
    let _old = service.call(("old", "b"));
    let config = |partitions: &[&str]| BulkheadConfig {
        max_queue: 1,
        max_wait: SECOND,
        partitions: partitions
            .iter()
            .map(|it| ((*it).to_owned(), 0.5))
            .collect(),
        ..BulkheadConfig::new(4)
    };

    // By name it would come before the one that there was.
    layer.handle().reconfigure(config(&["a", "b"])).unwrap();
    let _new = service.call(("new", "b"));

    let new = layer.handle().key(Key::of("new")).unwrap();
    assert_eq!(new.partition("b").unwrap().in_flight, 1);
    assert_eq!(new.partition("a").unwrap().in_flight, 0);
    assert_eq!(layer.handle().partition("b").unwrap().in_flight, 2);
}

#[tokio::test(start_paused = true)]
async fn each_key_learns_its_own_limit() {
    let counts = Counts::default();
    let layer = BulkheadLayer::builder("payments", Limit::custom(counting(&counts, 5)))
        .key(|tenant: &&'static str| Key::of(*tenant))
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_| ready(Ok::<_, BoxError>(()))));

    for tenant in ["a", "a", "b"] {
        assert_ready_ok!(spawn(service.call(tenant)).poll());
    }

    let limit = |tenant| layer.handle().key(Key::of(tenant)).unwrap().limit();
    assert_eq!((limit("a"), limit("b")), (7, 6));
    assert!(counts.made() >= 3);
}

#[tokio::test(start_paused = true)]
async fn keys_without_a_place_share_one_bulkhead() {
    let mut tenants = tenants(1, |it| it.max_keys(1));
    let mut events = tenants.registry.subscribe();
    let _a = tenants.start("a");

    // The place of a is in use.
    let _b = tenants.start("b");

    assert_eq!(tenants.refusal("c"), Reason::BulkheadFull);
    assert_eq!(tenants.bulkhead.keys(), [Key::of("a")]);
    let event = events.next().await.unwrap().unwrap();
    assert_eq!(event.what, What::KeysOverflowed);
}

#[tokio::test(start_paused = true)]
async fn a_key_of_which_somebody_holds_a_handle_is_not_forgotten() {
    let mut tenants = tenants(1, |it| it.max_keys(1));
    drop(tenants.start("a"));
    let held = tenants.of("a");

    drop(tenants.start("b"));
    advance(Duration::from_secs(3_600)).await;
    drop(tenants.start("b"));
    assert_eq!(tenants.bulkhead.keys(), [Key::of("a")]);

    drop(held);
    drop(tenants.start("b"));
    assert_eq!(tenants.bulkhead.keys(), [Key::of("b")]);
}

#[tokio::test(start_paused = true)]
async fn new_settings_for_all_let_a_key_go_that_was_set_by_hand() {
    let mut tenants = tenants(1, |it| it.max_keys(1));
    drop(tenants.start("a"));
    tenants.of("a").resize(2).unwrap();
    drop(tenants.start("b"));
    assert_eq!(tenants.bulkhead.keys(), [Key::of("a")]);

    let config = BulkheadConfig::new(1);
    tenants.bulkhead.reconfigure(config).unwrap();

    drop(tenants.start("b"));
    assert_eq!(tenants.bulkhead.keys(), [Key::of("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_key_gives_way_without_code_of_others() {
    let counts = Counts::default();
    let limit = Limit::custom(counting(&counts, 9));
    let mut tenants = tenants(limit, |it| it.max_keys(1));
    let mut made_for = |tenant| {
        let before = counts.made();
        drop(tenants.start(tenant));
        counts.made() - before
    };

    assert_eq!(made_for("a"), made_for("b"));

    assert_eq!(tenants.bulkhead.keys(), [Key::of("b")]);
}

#[tokio::test(start_paused = true)]
async fn a_key_whose_calls_are_in_flight_or_wait_is_not_forgotten() {
    let mut tenants = tenants(1, |it| it.max_keys(1).max_queue(1).max_wait(Duration::MAX));
    let running = tenants.start("a");
    let waiting = tenants.start("a");
    advance(Duration::from_secs(3_600)).await;

    drop(tenants.start("b"));
    drop(running);
    drop(tenants.start("b"));
    assert_eq!(tenants.bulkhead.keys(), [Key::of("a")]);

    drop(waiting);
    drop(tenants.start("b"));
    assert_eq!(tenants.bulkhead.keys(), [Key::of("b")]);
}

#[test]
fn a_change_of_the_settings_reaches_keys_that_come_meanwhile() {
    const KEYS: u64 = 20_000;

    let layer = BulkheadLayer::builder("payments", 1)
        .key(|tenant: &u64| Key::of(*tenant))
        .max_keys(KEYS as usize)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|_: u64| ready(Ok::<_, BoxError>(()))));
    let handle = layer.handle();

    let mut limit = 1;
    thread::scope(|scope| {
        let calls = scope.spawn(move || {
            for tenant in 0..KEYS {
                drop(service.call(tenant));
            }
        });
        while !calls.is_finished() {
            limit = limit % 200 + 1;
            handle.resize(limit).unwrap();
        }
    });

    for key in handle.keys() {
        assert_eq!(handle.key(key).unwrap().limit(), limit as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn a_key_takes_little_memory() {
    const KEYS: u64 = 1_000;

    let mut layer = None;
    let taken = allocation_counter::measure(|| {
        let made = BulkheadLayer::builder("payments", 10)
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
    assert!(each < 2_000);
}
