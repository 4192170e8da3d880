//! Calls that take too long, and those that do not.

use std::time::Duration;

use tokio::time::{advance, sleep};
use tokio_test::task::spawn;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use watertight_core::{Context, Reason, Rejection};
use watertight_metrics::Registry;
use watertight_timeout::TimeoutLayer;

use crate::stage::{LIMIT, MS, reason, stage, stage_of};

#[tokio::test(start_paused = true)]
async fn a_call_in_time_is_left_alone() {
    let mut stage = stage();
    let (mut call, answer) = stage.start("pay");
    advance(LIMIT - MS).await;
    assert_pending!(call.poll());

    answer.send_response("paid");

    assert_eq!(assert_ready_ok!(call.poll()), "paid");
    assert_eq!(stage.counted().calls.success, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_takes_too_long_is_ended_and_dropped_at_once() {
    let mut stage = stage();
    let (mut call, _answer) = stage.start("pay");
    assert_eq!(stage.backend.alive(), 1);

    advance(LIMIT + MS).await;
    assert!(call.is_woken());
    let error = assert_ready!(call.poll()).unwrap_err();

    // The future is still there, what it called is not.
    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(error.to_string(), "payments: timed out");
    assert_eq!(stage.timeout.in_flight(), 0);
    assert_eq!(stage.timeout.snapshot().timed_out, 1);
    assert_eq!(stage.counted().calls.rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_there_together_with_the_timer_is_the_answer() {
    let mut stage = stage();
    let (mut call, answer) = stage.start("pay");

    advance(LIMIT + MS).await;
    answer.send_response("paid");

    assert_eq!(assert_ready_ok!(call.poll()), "paid");
    assert_eq!(stage.timeout.snapshot().timed_out, 0);
}

#[tokio::test(start_paused = true)]
async fn the_time_does_not_run_before_the_first_poll() {
    let mut stage = stage();
    let mut call = stage.make("pay");
    advance(2 * LIMIT).await;

    assert_pending!(call.poll());
    advance(LIMIT - MS).await;
    assert_pending!(call.poll());
    advance(2 * MS).await;

    assert_eq!(reason(&mut call), Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_away_first_is_no_timeout() {
    let mut stage = stage();
    let (call, _answer) = stage.start("pay");

    advance(LIMIT - MS).await;
    drop(call);
    advance(LIMIT).await;

    assert_eq!(stage.timeout.snapshot().timed_out, 0);
    assert_eq!(stage.counted().calls.cancelled, 1);
    assert_eq!(stage.backend.alive(), 0);
}

#[tokio::test(start_paused = true)]
async fn each_request_may_have_its_own_limit() {
    let mut stage = stage_of(|it| {
        it.per_request(|request: &&str| match *request {
            "refund" => Some(10 * LIMIT),
            "report" => None,
            "export" => Some(Duration::MAX),
            _ => Some(LIMIT),
        })
    });
    let (mut refund, _one) = stage.start("refund");
    let (mut report, _two) = stage.start("report");
    let (mut export, _three) = stage.start("export");
    let (mut pay, _four) = stage.start("pay");

    advance(LIMIT + MS).await;
    assert_eq!(reason(&mut pay), Reason::TimedOut);
    assert_pending!(refund.poll());
    advance(9 * LIMIT).await;
    assert_eq!(reason(&mut refund), Reason::TimedOut);

    advance(Duration::from_secs(1_000_000)).await;
    assert_pending!(report.poll());
    assert_pending!(export.poll());
}

#[tokio::test(start_paused = true)]
async fn a_request_without_any_time_is_refused_at_once() {
    let mut stage = stage_of(|it| it.per_request(|_: &&str| Some(Duration::ZERO)));

    let mut call = stage.make("pay");

    assert_eq!(reason(&mut call), Reason::TimedOut);
    assert_eq!(stage.backend.alive(), 0);
    assert_eq!(stage.timeout.snapshot().timed_out, 1);
}

/// Tokio lets a task do only so much before it yields. Who uses that up at each poll must not keep
/// the timer from being looked at.
#[tokio::test(start_paused = true)]
async fn a_call_that_never_rests_is_ended_as_well() {
    let layer = TimeoutLayer::builder("busy")
        .limit(LIMIT)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| async {
        loop {
            tokio::task::consume_budget().await;
        }
        #[allow(unreachable_code, reason = "it says what it would return")]
        Ok::<(), BoxError>(())
    }));

    let error = tokio::select! {
        biased;
        answer = service.call(()) => answer.unwrap_err(),
        // The clock of a runtime that is never idle does not go on by itself.
        () = async { for _ in 0..200 { advance(MS).await; } } => panic!("it goes on"),
    };

    assert_eq!(Rejection::find(&*error).unwrap().reason(), Reason::TimedOut);
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_cannot_be() {
    let error = TimeoutLayer::builder("payments")
        .limit(Duration::ZERO)
        .try_build()
        .unwrap_err();

    assert_eq!(error.to_string(), "`limit` is 0ns, but must be above zero");
}

#[tokio::test(start_paused = true)]
async fn without_a_limit_calls_take_as_long_as_they_take() {
    let layer = TimeoutLayer::builder("payments")
        .registry(&Registry::new())
        .build();
    assert_eq!(layer.handle().timeout(), None);
    let mut service = layer.layer(service_fn(|()| async {
        sleep(Duration::from_secs(86_400)).await;
        Ok::<_, BoxError>("late")
    }));

    assert_eq!(service.call(()).await.unwrap(), "late");
}

#[tokio::test(start_paused = true)]
async fn errors_of_the_service_are_left_alone() {
    let mut stage = stage();
    let (mut call, answer) = stage.start("pay");

    answer.send_error("broken");

    let error = assert_ready!(call.poll()).unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert_eq!(stage.counted().calls.failure, 1);
}

/// As the hosts want it.
#[test]
fn a_service_is_shared_between_threads() {
    const fn is_shared<T: Clone + Send + Sync + 'static>(_: &T) {}
    const fn is_sent<T: Send + 'static>(_: &T) {}
    let layer = TimeoutLayer::builder("payments")
        .per_request(|(): &()| Some(LIMIT))
        .ready(LIMIT)
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| async { Ok::<_, BoxError>(()) }));

    is_shared(&service);
    is_sent(&service.call(()));
}

mod deadline_of_the_context {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ends_a_call_before_its_own_limit() {
        let mut stage = stage();
        let (mut call, _answer) = stage.start_within(LIMIT / 2);

        advance(LIMIT / 2 + MS).await;

        assert_eq!(reason(&mut call), Reason::DeadlineExceeded);
        let counted = stage.timeout.snapshot();
        assert_eq!((counted.timed_out, counted.deadline_exceeded), (0, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn does_not_matter_after_it() {
        let mut stage = stage();
        let (mut call, _answer) = stage.start_within(2 * LIMIT);

        advance(LIMIT + MS).await;

        assert_eq!(reason(&mut call), Reason::TimedOut);
    }

    #[tokio::test(start_paused = true)]
    async fn leaves_a_reserve_for_the_way_back() {
        let mut stage = stage_of(|it| it.reserve(20 * MS));
        let (mut call, _answer) = stage.start_within(60 * MS);

        advance(39 * MS).await;
        assert_pending!(call.poll());
        advance(2 * MS).await;

        assert_eq!(reason(&mut call), Reason::DeadlineExceeded);
    }

    #[tokio::test(start_paused = true)]
    async fn refuses_a_call_that_is_late_already() {
        let mut stage = stage_of(|it| it.reserve(20 * MS));
        let context = Context {
            deadline: Some(tokio::time::Instant::now() + 20 * MS),
            ..Context::default()
        };

        let mut call = context.enter(|| stage.make("pay"));

        assert_eq!(reason(&mut call), Reason::DeadlineExceeded);
        assert_pending!(spawn(stage.mock.next_request()).poll());
        assert_eq!(stage.timeout.snapshot().deadline_exceeded, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn holds_where_there_is_no_limit() {
        let mut stage = stage_of(|it| it.per_request(|_: &&str| None));
        let (mut call, _answer) = stage.start_within(LIMIT);

        advance(LIMIT + MS).await;

        assert_eq!(reason(&mut call), Reason::DeadlineExceeded);
    }
}
