//! Who is refused when the queue is full.

use tokio::time::advance;
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready_err};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_bulkhead::{BulkheadConfig, BulkheadLayer, Order, Triage};
use watertight_core::{Key, Priority, Reason, Rejection};
use watertight_metrics::Registry;

use crate::stage::{MS, SECOND, Stage, stage};

/// Takes the part of the request before the dash for the name of its priority.
fn priority(request: &&str) -> Priority {
    match request.split('-').next() {
        Some("critical") => Priority::Critical,
        Some("low") => Priority::Low,
        Some("background") => Priority::Background,
        _ => Priority::Normal,
    }
}

/// One slot, and so many places to wait for it.
fn by_priority(places: usize) -> Stage<impl Triage<&'static str> + Clone> {
    stage(1, |it| {
        it.max_queue(places)
            .max_wait(SECOND)
            .order(Order::Priority)
            .priority(priority)
    })
}

/// Takes the part of the request before the dash for its partition.
fn partition(request: &&'static str) -> Option<&'static str> {
    Some(request.split_once('-')?.0)
}

#[tokio::test(start_paused = true)]
async fn an_important_call_takes_the_place_of_the_youngest_of_the_least_important() {
    let mut stage = by_priority(4);
    let running = stage.start("normal");
    let first = stage.wait("background-1");
    let last = stage.wait("background-2");
    let _low = [stage.wait("low-1"), stage.wait("low-2")];

    let critical = stage.wait("critical");

    assert!(last.is_woken() && !first.is_woken());
    assert_eq!(stage.is_refused(last).reason(), Reason::BulkheadFull);
    assert_eq!(stage.bulkhead.queued(), 4);
    running.succeeds();
    stage.reaches_backend(critical, "critical").succeeds();
}

#[tokio::test(start_paused = true)]
async fn nobody_gives_way_to_an_equal() {
    let mut stage = by_priority(2);
    let _running = stage.start("normal");
    let _waiting = [stage.wait("normal-1"), stage.wait("low-1")];

    stage.finds_it_full("low-2");
    stage.finds_it_full("background");

    let _normal = stage.wait("normal-2");
    stage.finds_it_full("normal-3");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gives_way_is_counted_like_any_that_is_refused() {
    let mut stage = by_priority(1);
    let running = stage.start("normal");
    let low = stage.wait("low");
    advance(20 * MS).await;

    let critical = stage.wait("critical");
    stage.is_refused(low);
    running.succeeds();
    stage.reaches_backend(critical, "critical").succeeds();

    let calls = stage.counted().calls;
    assert_eq!((calls.success, calls.rejected, calls.cancelled), (2, 1, 0));
    assert_eq!(
        (stage.bulkhead.queued(), stage.bulkhead.in_flight()),
        (0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_has_given_way_and_is_dropped_takes_no_slot_along() {
    let mut stage = by_priority(1);
    let running = stage.start("normal");
    let low = stage.wait("low");
    let critical = stage.wait("critical");

    drop(low);

    running.succeeds();
    stage.reaches_backend(critical, "critical").succeeds();
    let _running = stage.start("normal");
}

#[tokio::test(start_paused = true)]
async fn who_may_have_what_is_reserved_takes_the_place_of_those_who_may_not() {
    let mut stage = stage(4, |it| {
        it.max_queue(2)
            .max_wait(SECOND)
            .reserve(Priority::Critical, 0.25)
            .priority(priority)
    });
    let _normal = stage.start_all(3);
    let critical = stage.start("critical");
    let normal = [stage.wait("normal-1"), stage.wait("normal-2")];

    stage.finds_it_full("normal-3");
    let next = stage.wait("critical-2");

    let [first, last] = normal;
    assert!(!first.is_woken());
    stage.is_refused(last);
    critical.succeeds();
    stage.reaches_backend(next, "critical-2").succeeds();
}

#[tokio::test(start_paused = true)]
async fn the_owner_of_a_share_takes_the_place_of_those_who_borrow() {
    let mut stage = stage(4, |it| {
        it.max_queue(4)
            .max_wait(SECOND)
            .partition("live", 0.5)
            .partition_by(partition)
    });
    let mut running = stage.start_all(4);
    let mut others: Vec<_> = (0..4).map(|_| stage.wait("batch-1")).collect();

    // Two slots and two places in the queue are its own.
    let live: Vec<_> = (0..4).map(|_| stage.wait("live-1")).collect();

    stage.finds_it_full("live-1");
    stage.finds_it_full("batch-2");
    for other in others.drain(..) {
        assert_eq!(stage.is_refused(other).reason(), Reason::BulkheadFull);
    }
    let partition = stage.bulkhead.partition("live").unwrap();
    assert_eq!((partition.in_flight, partition.queued), (0, 4));
    for call in live {
        running.pop().unwrap().succeeds();
        running.insert(0, stage.reaches_backend(call, "live-1"));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_within_the_share_of_its_partition_gives_way_to_no_other() {
    let mut stage = stage(2, |it| {
        it.max_queue(1)
            .max_wait(SECOND)
            .order(Order::Priority)
            .priority(priority)
            .partition("background", 0.5)
            .partition_by(partition)
    });
    let _running = [stage.start("normal"), stage.start("normal")];
    let _owner = stage.wait("background-1");

    stage.finds_it_full("critical-1");
}

#[tokio::test(start_paused = true)]
async fn who_comes_too_late_for_its_deadline_displaces_nobody() {
    let mut stage = by_priority(1);
    let _running = stage.start("normal");
    let low = stage.wait("low");

    let late = watertight_core::Context {
        deadline: Some(tokio::time::Instant::now()),
        ..Default::default()
    };
    let reason = late.enter(|| stage.refusal("critical")).reason();

    assert_eq!(reason, Reason::DeadlineExceeded);
    assert!(!low.is_woken());
}

/// Lets calls fill a queue of two and then one more come, and returns who is refused.
fn refused_of_three(order: Order, after: std::time::Duration) -> &'static str {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND).order(order));
    let _running = stage.start("0");
    let mut calls = ["oldest", "newer"].map(|name| (name, stage.wait(name)));
    spawn(advance(after)).poll().is_ready();
    let mut newest = stage.call("newest");
    if newest.poll().is_ready() {
        return "newest";
    }
    let refused = calls.iter_mut().find(|(_, call)| call.is_woken());
    let (name, call) = refused.unwrap();
    assert_ready_err!(call.poll());
    name
}

#[tokio::test(start_paused = true)]
async fn who_would_be_served_last_is_refused() {
    assert_eq!(refused_of_three(Order::Fifo, MS), "newest");
    assert_eq!(refused_of_three(Order::Lifo, MS), "oldest");
    assert_eq!(refused_of_three(Order::Priority, MS), "newest");
    assert_eq!(refused_of_three(Order::CoDel, MS), "newest");
}

#[tokio::test(start_paused = true)]
async fn in_a_queue_that_stands_codel_refuses_the_oldest() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND).order(Order::CoDel));
    let _running = stage.start("0");
    let first = stage.wait("first");
    advance(120 * MS).await;
    let second = stage.wait("second");
    assert_eq!(stage.is_refused(first).reason(), Reason::QueueTimeout);
    let third = stage.wait("third");

    let _fourth = stage.wait("fourth");

    assert_eq!(stage.is_refused(second).reason(), Reason::BulkheadFull);
    assert!(!third.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_is_closed_takes_nobody_in_for_another() {
    let mut stage = by_priority(1);
    let _running = stage.start("normal");
    let low = stage.wait("low");

    let config = BulkheadConfig {
        order: Order::Priority,
        ..BulkheadConfig::new(1)
    };
    stage.bulkhead.reconfigure(config).unwrap();

    stage.finds_it_full("critical");
    assert!(!low.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_gives_way_in_the_queue_of_all_keys_gives_the_slot_of_its_own_back() {
    let registry = Registry::new();
    let layer = BulkheadLayer::builder("payments", 5)
        .total(1)
        .max_queue(1)
        .max_wait(SECOND)
        .order(Order::Priority)
        .priority(priority)
        .key(|tenant: &&'static str| Some(Key::of(*tenant)))
        .registry(&registry)
        .build();
    let bulkhead = layer.handle();
    let mut service = layer.layer(service_fn(|_: &'static str| {
        std::future::pending::<Result<(), BoxError>>()
    }));
    let mut running = spawn(service.call("normal"));
    assert_pending!(running.poll());
    let mut low = spawn(service.call("low"));
    assert_pending!(low.poll());
    let of_low = bulkhead.key(Key::of("low")).unwrap();
    assert_eq!(of_low.in_flight(), 1);

    let mut critical = spawn(service.call("critical"));
    assert_pending!(critical.poll());

    let error = assert_ready_err!(low.poll());
    let rejection = Rejection::find(&*error).unwrap();
    assert_eq!(rejection.reason(), Reason::BulkheadFull);
    assert_eq!(of_low.in_flight(), 0);
}
