//! What a timeout does in shadow, and when it is off.

use std::time::Duration;

use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_ok};
use watertight_core::{Context, Mode, Reason};

use crate::stage::{LIMIT, MS, reason, stage, stage_of};

#[tokio::test(start_paused = true)]
async fn in_shadow_a_late_call_is_counted_and_goes_on() {
    let mut stage = stage_of(|it| it.mode(Mode::Shadow));
    let (mut call, answer) = stage.start("pay");

    advance(LIMIT + MS).await;
    assert_pending!(call.poll());
    advance(LIMIT).await;
    assert_pending!(call.poll());
    assert_eq!(stage.timeout.snapshot().in_shadow, 1);

    answer.send_response("paid");
    assert_eq!(assert_ready_ok!(call.poll()), "paid");
    let counted = stage.counted();
    assert_eq!((counted.calls.rejected, counted.calls.success), (0, 1));
    let refused = counted.rejections.iter().find(|it| it.count > 0).unwrap();
    assert_eq!(
        (refused.reason, refused.mode),
        (Reason::TimedOut, Mode::Shadow)
    );
}

#[tokio::test(start_paused = true)]
async fn in_shadow_nothing_is_refused_at_once() {
    let mut stage = stage_of(|it| {
        it.mode(Mode::Shadow)
            .per_request(|_: &&str| Some(Duration::ZERO))
    });
    let late = Context {
        deadline: Some(Instant::now()),
        ..Context::default()
    };

    let (mut call, answer) = late.enter(|| stage.start("pay"));
    advance(1_000 * LIMIT).await;
    assert_pending!(call.poll());
    answer.send_response("paid");

    assert_ready_ok!(call.poll());
    assert_eq!(stage.timeout.snapshot().in_shadow, 2);
}

#[tokio::test(start_paused = true)]
async fn when_off_nothing_is_ended_and_nothing_counted() {
    let mut stage = stage_of(|it| it.mode(Mode::Off));
    let (mut call, answer) = stage.start("pay");

    advance(1_000 * LIMIT).await;
    assert_pending!(call.poll());
    answer.send_response("paid");

    assert_ready_ok!(call.poll());
    assert_eq!(stage.counted().calls.success, 0);
    assert_eq!(stage.timeout.snapshot().in_shadow, 0);
}

#[tokio::test(start_paused = true)]
async fn calls_in_flight_go_on_as_they_began() {
    let mut stage = stage();
    let (mut early, _one) = stage.start("pay");
    stage.timeout.set_mode(Mode::Off);
    let (mut late, _two) = stage.start("pay");

    advance(LIMIT + MS).await;

    assert_eq!(reason(&mut early), Reason::TimedOut);
    assert_pending!(late.poll());
}
