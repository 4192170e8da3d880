use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task::spawn};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Context, Priority, Reason};
use watertight_metrics::Registry;
use watertight_timeout::{DeadlineLayer, TimeoutLayer};

use super::stage::{MS, S, WITHIN, reason, stage};

#[tokio::test(start_paused = true)]
async fn a_call_that_is_answered_in_time_passes() {
    let mut stage = stage(|it| it);
    let mut call = stage.call(Some(2 * S));
    assert_pending!(call.poll());
    advance(2 * S - MS).await;
    assert_pending!(call.poll());

    stage.reached().send_response("done");

    assert_eq!(assert_ready_ok!(call.poll()), "done");
    assert_eq!(stage.counted().calls.success, 1);
}

#[tokio::test(start_paused = true)]
async fn the_earlier_of_what_came_and_its_own_limit_holds() {
    let mut stage = stage(|it| it);
    let now = Instant::now();
    let outer = Context {
        deadline: Some(now + 8 * S),
        priority: Priority::High,
        ..Context::default()
    };

    let calls = [
        (stage.call(None), WITHIN),
        (stage.call(Some(7 * S)), 7 * S),
        (stage.call(Some(30 * S)), WITHIN),
        (outer.clone().enter(|| stage.call(Some(9 * S))), 8 * S),
    ];

    // The last call is made where there is more than a deadline.
    let mut made = stage.backend.contexts();
    assert_eq!(made.pop(), Some(outer));
    let deadlines: Vec<_> = made.iter().map(|it| it.deadline.unwrap() - now).collect();
    assert_eq!(
        deadlines,
        calls[..3].iter().map(|it| it.1).collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn the_future_runs_in_the_context_too() {
    let mut stage = stage(|it| it);
    let mut call = stage.call(Some(7 * S));
    assert_pending!(call.poll());

    let contexts = stage.backend.contexts();

    assert_eq!(contexts.len(), 2);
    assert_eq!(contexts[0], contexts[1]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_ended_at_its_deadline_and_dropped_at_once() {
    let mut stage = stage(|it| it);
    let mut call = stage.call(Some(2 * S));
    assert_pending!(call.poll());
    assert_eq!(stage.backend.alive(), 1);

    advance(2 * S).await;

    assert!(call.is_woken());
    assert_eq!(reason(assert_ready!(call.poll())), Reason::DeadlineExceeded);
    assert_eq!(stage.backend.alive(), 0);
    let counted = stage.counted();
    assert_eq!((counted.calls.rejected, counted.calls.cancelled), (1, 0));
    assert_eq!(stage.handle.snapshot().cut_off, 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_the_moment_of_the_deadline_wins() {
    let mut stage = stage(|it| it);
    let mut call = stage.call(Some(S));
    assert_pending!(call.poll());
    let reached = stage.reached();

    advance(S).await;
    reached.send_response("just so");

    assert_eq!(assert_ready_ok!(call.poll()), "just so");
    assert_eq!(stage.counted().calls.success, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_without_time_is_refused_and_does_not_reach_the_service() {
    let mut stage = stage(|it| it);
    let passed = Context {
        deadline: Some(Instant::now()),
        ..Context::default()
    };

    let mut by_its_word = stage.call(Some(Duration::ZERO));
    let mut by_context = passed.enter(|| stage.call(None));

    for call in [&mut by_its_word, &mut by_context] {
        assert_eq!(reason(assert_ready!(call.poll())), Reason::DeadlineExceeded);
    }
    stage.nothing_reached();
    assert_eq!(stage.handle.snapshot().expired, 2);
    assert_eq!(stage.counted().calls.rejected, 2);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_always_sends_nothing_is_served_one_time_in_ten() {
    let mut stage = stage(|it| it);
    let mut served = 0;

    for _ in 0..1000 {
        let mut call = stage.call(Some(Duration::ZERO));
        match call.poll() {
            std::task::Poll::Ready(result) => {
                assert_eq!(reason(result), Reason::DeadlineExceeded);
            }
            std::task::Poll::Pending => {
                advance(S).await;
                stage.reached().send_response("late, but here");
                assert_eq!(assert_ready_ok!(call.poll()), "late, but here");
                served += 1;
            }
        }
    }

    assert_eq!(served, 100);
    let snapshot = stage.handle.snapshot();
    assert_eq!((snapshot.expired, snapshot.spared), (900, 100));
    let now = Instant::now();
    let last = stage.backend.contexts().pop().unwrap();
    assert_eq!(last.deadline, Some(now - S + WITHIN));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_is_cancelled() {
    let mut stage = stage(|it| it);
    let unpolled = stage.call(None);
    let mut polled = stage.call(None);
    assert_pending!(polled.poll());
    assert_eq!(stage.handle.in_flight(), 2);

    drop((unpolled, polled));

    assert_eq!(stage.handle.in_flight(), 0);
    assert_eq!(stage.counted().calls.cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_after_its_deadline_was_cut_off() {
    let mut stage = stage(|it| it);
    let mut call = stage.call(Some(S));
    assert_pending!(call.poll());
    advance(S).await;

    drop(call);

    let calls = stage.counted().calls;
    assert_eq!((calls.rejected, calls.cancelled), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_goes_on() {
    let registry = Registry::new();
    let layer = DeadlineLayer::builder("inbound", WITHIN)
        .registry(&registry)
        .build();
    let mut service = layer.layer(service_fn(|()| async { Err::<(), BoxError>(panics()) }));

    let mut call = spawn(service.call(()));
    let panicked = catch_unwind(AssertUnwindSafe(|| drop(call.poll())));

    assert!(panicked.is_err());
    drop(call);
    let calls = registry.snapshot().instances[0].calls;
    assert_eq!((calls.failure, calls.cancelled), (1, 0));
}

fn panics() -> BoxError {
    panic!("as it does")
}

/// Tokio lets a task do only so much before it yields. Who uses that up at each poll must not keep
/// the deadline from being looked at.
#[tokio::test(start_paused = true)]
async fn a_call_that_never_rests_is_ended_as_well() {
    let layer = DeadlineLayer::builder("inbound", S)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| async {
        loop {
            tokio::task::consume_budget().await;
        }
        #[allow(unreachable_code, reason = "it says what it would return")]
        Ok::<(), BoxError>(())
    }));

    let ended = tokio::select! {
        biased;
        answer = service.call(()) => answer,
        // The clock of a runtime that is never idle does not go on by itself.
        () = async { for _ in 0..2_000 { advance(MS).await; } } => panic!("it goes on"),
    };

    assert_eq!(reason(ended), Reason::DeadlineExceeded);
}

/// There is no runtime here, and so no timer could be made.
#[test]
fn a_call_that_is_answered_at_once_makes_no_timer() {
    let layer = DeadlineLayer::builder("inbound", WITHIN)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));

    let mut call = spawn(service.call(()));

    assert_ready_ok!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn as_long_as_the_caller_waits_is_for_ever() {
    let layer = DeadlineLayer::builder("inbound", Duration::MAX)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| async {
        assert_eq!(Context::current().deadline, None);
        std::future::pending::<Result<(), BoxError>>().await
    }));
    let mut call = spawn(service.call(()));
    assert_pending!(call.poll());

    advance(1_000_000 * S).await;

    assert_pending!(call.poll());
}

#[tokio::test(start_paused = true)]
async fn the_longest_time_that_can_be_sent_is_no_harm() {
    let layer = DeadlineLayer::builder("inbound", Duration::MAX)
        .read(|left: &Duration| Some(*left))
        .registry(&Registry::new())
        .build();
    let timeout = TimeoutLayer::builder("inner")
        .registry(&Registry::new())
        .build();
    let endless = service_fn(|_: Duration| std::future::pending::<Result<(), BoxError>>());
    let mut service = layer.layer(timeout.layer(endless));

    for left in [
        Duration::MAX,
        Duration::from_millis(u64::MAX),
        Duration::from_secs(99_999_999 * 3600),
        Duration::from_secs(100 * 365 * 86_400),
    ] {
        let mut call = spawn(service.call(left));
        assert_pending!(call.poll());
        advance(1_000_000 * S).await;
        assert_pending!(call.poll(), "{left:?}");
    }
}

#[test]
#[should_panic(expected = "`within` is 0ns, but must be above zero")]
fn no_time_at_all_is_no_setting() {
    let _ = DeadlineLayer::new("inbound", Duration::ZERO);
}
