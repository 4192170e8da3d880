//! Who waits, for how long, and who is next.

use std::time::Duration;

use tokio::time::advance;
use tokio_test::assert_pending;
use watertight_bulkhead::Order;
use watertight_core::Reason;

use crate::stage::{MS, SECOND, stage};

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_gets_the_slot_of_one_that_ends() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(SECOND));
    let running = stage.start("first");
    let mut waiting = stage.wait("second");

    advance(200 * MS).await;
    assert_pending!(waiting.poll());
    running.succeeds();

    assert!(waiting.is_woken());
    stage.reaches_backend(waiting, "second").succeeds();
    assert_eq!(stage.bulkhead.in_flight(), 0);
    let waited = stage.bulkhead.snapshot().queue_wait.unwrap();
    // Buckets are a sixteenth wide.
    assert!(waited.p50.unwrap().abs_diff(200 * MS) < 15 * MS);
    assert_eq!(stage.counted().queue_wait, Some(waited));
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_for_as_long_as_it_may() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(100 * MS));
    let _running = stage.start("first");
    let mut waiting = stage.wait("second");

    advance(99 * MS).await;
    assert_pending!(waiting.poll());
    advance(MS).await;

    assert!(waiting.is_woken());
    let refusal = stage.is_refused(waiting);
    assert_eq!(refusal.reason(), Reason::QueueTimeout);
    assert_eq!(stage.bulkhead.queued(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_with_the_end_of_the_wait_is_taken() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(100 * MS));
    let running = stage.start("first");
    let waiting = stage.wait("second");

    advance(100 * MS).await;
    running.succeeds();

    stage.reaches_backend(waiting, "second").succeeds();
}

#[tokio::test(start_paused = true)]
async fn a_wait_without_end_is_one() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(Duration::MAX));
    let running = stage.start("first");
    let mut waiting = stage.wait("second");

    advance(1_000_000 * SECOND).await;
    assert_pending!(waiting.poll());
    running.succeeds();

    stage.reaches_backend(waiting, "second").succeeds();
}

#[tokio::test(start_paused = true)]
async fn nobody_who_comes_passes_somebody_who_waits() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let running = stage.start("first");
    let second = stage.wait("second");
    running.succeeds();

    // The slot is the second's, even if that has not been polled yet.
    let third = stage.wait("third");

    stage.reaches_backend(second, "second").succeeds();
    stage.reaches_backend(third, "third").succeeds();
}

/// Lets calls wait, and returns the order in which they are served.
fn served_in(order: Order) -> Vec<&'static str> {
    let mut stage = stage(1, |it| it.max_queue(3).max_wait(SECOND).order(order));
    let mut running = Some(stage.start("0"));
    let mut waiting: Vec<_> = ["a", "b", "c"]
        .map(|name| Some((name, stage.wait(name))))
        .into();

    let mut served = Vec::new();
    while let Some(done) = running.take() {
        done.succeeds();
        let mut woken = waiting
            .iter_mut()
            .filter(|it| it.as_ref().is_some_and(|(_, call)| call.is_woken()));
        if let Some((name, call)) = woken.next().and_then(Option::take) {
            served.push(name);
            running = Some(stage.reaches_backend(call, name));
        }
    }
    served
}

#[tokio::test(start_paused = true)]
async fn calls_are_served_in_the_order_that_was_asked_for() {
    assert_eq!(served_in(Order::Fifo), ["a", "b", "c"]);
    assert_eq!(served_in(Order::Lifo), ["c", "b", "a"]);
    assert_eq!(served_in(Order::Priority), ["a", "b", "c"]);
    assert_eq!(served_in(Order::CoDel), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn codel_serves_who_came_last_once_a_queue_stands() {
    let mut stage = stage(1, |it| {
        it.max_queue(10).max_wait(60 * SECOND).order(Order::CoDel)
    });
    let running = stage.start("0");
    let a = stage.wait("a");
    let b = stage.wait("b");

    // The queue has stood for 5 ms and then for 100 ms.
    advance(120 * MS).await;
    let c = stage.wait("c");
    running.succeeds();

    assert!(c.is_woken());
    assert_eq!(stage.is_refused(a).reason(), Reason::QueueTimeout);
    stage.reaches_backend(c, "c").succeeds();
    // Who is the last one there is worth serving even so.
    stage.reaches_backend(b, "b").succeeds();
}

#[tokio::test(start_paused = true)]
async fn a_refusal_says_when_to_come_back_once_that_is_known() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let mut running = stage.start("pay");
    let mut next = stage.wait("pay");
    for _ in 0..10 {
        let last = stage.wait("pay");
        advance(20 * MS).await;
        running.succeeds();
        running = stage.reaches_backend(next, "pay");
        next = last;
    }
    let _last = stage.wait("pay");

    let refusal = stage.refusal("pay");

    assert_eq!(refusal.reason(), Reason::BulkheadFull);
    assert_eq!(refusal.retry_after(), Some(20 * MS));
}
