//! The way back to full traffic by a ramp.

use tokio::time::advance;
use tokio_test::task::spawn;
use watertight_breaker::{Curve, Recovery, State};

use crate::stage::{SECOND, Stage, stage};

/// Makes a breaker whose probes have just succeeded.
async fn recovering(recovery: Recovery) -> Stage {
    let mut stage = stage(|it| {
        it.min_calls(4)
            .close_after(1)
            .open_for(SECOND)
            .open_backoff(3.0, 60 * SECOND)
            .recovery(recovery)
    });
    stage.half_open().await;
    stage.play("S").await;
    assert_eq!(stage.state(), State::Recovering);
    stage
}

/// Returns how many of 100 calls pass now. They succeed.
async fn pass(stage: &mut Stage) -> usize {
    let mut passed = 0;
    for _ in 0..100 {
        let mut call = stage.call();
        if call.poll().is_pending() {
            let (_, reply) = spawn(stage.backend.next_request()).await.unwrap();
            reply.send_response(watertight_core::Outcome::Success);
            call.await.unwrap();
            passed += 1;
        }
        tokio::task::yield_now().await;
    }
    passed
}

#[tokio::test(start_paused = true)]
async fn a_growing_share_passes_until_it_closes() {
    let mut stage = recovering(Recovery::ramp(9 * SECOND)).await;

    let mut shares = Vec::new();
    for _ in 0..9 {
        shares.push(pass(&mut stage).await);
        assert_eq!(stage.state(), State::Recovering);
        advance(SECOND).await;
    }

    for (share, expected) in shares.iter().zip([10, 20, 30, 40, 50, 60, 70, 80, 90]) {
        assert!(share.abs_diff(expected) <= 1, "{shares:?}");
    }
    assert_eq!(stage.state(), State::Closed);
    assert_eq!(pass(&mut stage).await, 100);
}

#[tokio::test(start_paused = true)]
async fn a_steeper_curve_starts_more_slowly() {
    let curved = Recovery::ramp(10 * SECOND).curve(Curve::Exponential);
    let mut stage = recovering(curved).await;
    advance(5 * SECOND).await;

    let half_way = pass(&mut stage).await;

    assert!((30..=33).contains(&half_way), "{half_way}");
}

#[tokio::test(start_paused = true)]
async fn falls_back_to_open_for_longer_when_the_rate_trips_again() {
    let mut stage = recovering(Recovery::ramp(9 * SECOND)).await;
    advance(8 * SECOND).await;
    let mut failed = 0;
    while stage.state() == State::Recovering {
        let mut call = stage.call();
        if call.poll().is_pending() {
            let (_, reply) = stage.backend.next_request().await.unwrap();
            reply.send_error("broken");
            call.await.unwrap_err();
            failed += 1;
        }
    }

    assert_eq!(failed, 4);
    assert_eq!(stage.state(), State::Open);
    assert_eq!(stage.refusal().retry_after(), Some(3 * SECOND));
    assert_eq!(stage.breaker.snapshot().failed_recoveries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_on_the_ramp_has_no_hint() {
    let mut stage = recovering(Recovery::ramp(9 * SECOND)).await;

    assert_eq!(stage.refusal().retry_after(), None);
}

#[tokio::test(start_paused = true)]
async fn what_ends_after_the_ramp_is_late() {
    let mut stage = recovering(Recovery::ramp(SECOND)).await;
    let mut call = stage.call();
    while !call.poll().is_pending() {
        call = stage.call();
    }
    let (_, reply) = stage.backend.next_request().await.unwrap();
    advance(SECOND).await;

    reply.send_error("broken");
    call.await.unwrap_err();

    assert_eq!(stage.state(), State::Closed);
    assert_eq!(stage.counted().calls.stale, 1);
}
