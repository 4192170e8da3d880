//! Calls whose callers wait only so long.

use tokio::time::{Instant, advance};
use tokio_test::task::Spawn;
use watertight_core::{Context, Reason};

use crate::stage::{Future, InFlight, MS, SECOND, Stage, stage};

/// Does something on behalf of a caller who waits so many milliseconds.
fn within<R>(milliseconds: u32, f: impl FnOnce() -> R) -> R {
    let context = Context {
        deadline: Some(Instant::now() + milliseconds * MS),
        ..Context::default()
    };
    context.enter(f)
}

/// A bulkhead of one slot that takes 20 ms for each call, with a queue of two.
async fn busy() -> (Stage, InFlight, [Spawn<Future>; 2]) {
    let mut stage = stage(1, |it| it.max_queue(4).max_wait(SECOND));
    let mut running = stage.start("pay");
    let mut next = stage.wait("pay");
    for _ in 0..10 {
        let last = stage.wait("pay");
        advance(20 * MS).await;
        running.succeeds();
        running = stage.reaches_backend(next, "pay");
        next = last;
    }
    let last = stage.wait("pay");
    (stage, running, [next, last])
}

#[tokio::test(start_paused = true)]
async fn a_call_that_cannot_be_served_in_time_is_refused_when_it_comes() {
    let (mut stage, _running, _waiting) = busy().await;

    // Two are ahead, then it waits for its own slot, and then it takes its time.
    let refusal = within(79, || stage.refusal("pay"));

    assert_eq!(refusal.reason(), Reason::DeadlineExceeded);
    assert_eq!(refusal.retry_after(), Some(MS));
    assert_eq!(stage.bulkhead.queued(), 2);
    let _in_time = within(80, || stage.wait("pay"));
    let counted = stage.counted();
    let mut rejections = counted.rejections.iter();
    let too_late = rejections.find(|it| it.reason == Reason::DeadlineExceeded);
    assert_eq!(too_late.unwrap().count, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_too_late_already_does_not_wait() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(SECOND));
    let _running = stage.start("pay");

    let refusal = within(0, || stage.refusal("pay"));

    assert_eq!(refusal.reason(), Reason::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_no_longer_than_until_its_deadline() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(SECOND));
    let _running = stage.start("first");
    let waiting = within(50, || stage.wait("second"));

    advance(50 * MS).await;

    assert!(waiting.is_woken());
    let refusal = stage.is_refused(waiting);
    assert_eq!(refusal.reason(), Reason::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_comes_after_the_deadline_goes_to_the_next() {
    let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
    let running = stage.start("first");
    let second = within(50, || stage.wait("second"));
    let third = stage.wait("third");

    // Nobody has polled the second meanwhile.
    advance(60 * MS).await;
    running.succeeds();

    stage.reaches_backend(third, "third").succeeds();
    let refusal = stage.is_refused(second);
    assert_eq!(refusal.reason(), Reason::DeadlineExceeded);
}

#[tokio::test(start_paused = true)]
async fn a_free_slot_is_taken_whatever_the_deadline() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(SECOND));

    within(0, || stage.start("pay")).succeeds();
}
