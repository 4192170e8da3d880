use std::time::Duration;

use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready_ok};
use watertight_core::{Context, Mode};

use super::stage::{MS, S, WITHIN, stage};

#[tokio::test(start_paused = true)]
async fn off_does_nothing_and_counts_nothing() {
    let mut stage = stage(|it| it.mode(Mode::Off).hop("orders"));
    let mut expired = stage.call(Some(Duration::ZERO));
    let mut call = stage.call(Some(S));
    for call in [&mut expired, &mut call] {
        assert_pending!(call.poll());
    }
    advance(2 * WITHIN).await;

    for call in [&mut expired, &mut call] {
        assert_pending!(call.poll());
        stage.reached().send_response("done");
        assert_ready_ok!(call.poll());
    }

    let all_default = |it: &Context| *it == Context::default();
    assert!(stage.backend.contexts().iter().all(all_default));
    assert_eq!(stage.counted().calls.success, 0);
    let snapshot = stage.handle.snapshot();
    assert_eq!((snapshot.expired, snapshot.expired_in_shadow), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_what_it_would_do_and_does_nothing() {
    let mut stage = stage(|it| it.mode(Mode::Shadow));
    let mut expired = stage.call(Some(Duration::ZERO));
    let mut late = stage.call(Some(S));
    let mut in_time = stage.call(None);
    for call in [&mut expired, &mut late, &mut in_time] {
        assert_pending!(call.poll());
    }
    advance(S).await;

    for call in [&mut expired, &mut late, &mut in_time] {
        assert_pending!(call.poll());
        stage.reached().send_response("done");
        assert_ready_ok!(call.poll());
    }

    let all_default = |it: &Context| *it == Context::default();
    assert!(stage.backend.contexts().iter().all(all_default));
    let snapshot = stage.handle.snapshot();
    assert_eq!((snapshot.expired, snapshot.cut_off), (0, 0));
    assert_eq!(snapshot.expired_in_shadow, 1);
    assert_eq!(snapshot.cut_off_in_shadow, 1);
    let counted = stage.counted();
    assert_eq!((counted.calls.success, counted.calls.rejected), (3, 0));
    let refused = |it: &&watertight_metrics::RejectionCount| it.mode == Mode::Shadow;
    let in_shadow = counted.rejections.iter().find(refused).unwrap();
    assert_eq!(in_shadow.count, 2);
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_the_late_calls_that_are_dropped() {
    let mut stage = stage(|it| it.mode(Mode::Shadow));
    let (mut late, mut in_time) = (stage.call(Some(S)), stage.call(Some(S + MS)));
    for call in [&mut late, &mut in_time] {
        assert_pending!(call.poll());
    }

    advance(S).await;
    drop((late, in_time));

    assert_eq!(stage.handle.snapshot().cut_off_in_shadow, 1);
    assert_eq!(stage.counted().calls.cancelled, 2);
}

#[tokio::test(start_paused = true)]
async fn shadow_counts_a_call_that_had_expired_once() {
    let mut stage = stage(|it| it.mode(Mode::Shadow));
    let passed = Context {
        deadline: Some(Instant::now()),
        ..Context::default()
    };
    let mut call = passed.enter(|| stage.call(None));
    assert_pending!(call.poll());
    advance(S).await;
    assert_pending!(call.poll());

    drop(call);

    let snapshot = stage.handle.snapshot();
    assert_eq!(snapshot.expired_in_shadow, 1);
    assert_eq!(snapshot.cut_off_in_shadow, 0);
}
