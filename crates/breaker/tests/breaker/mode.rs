//! Breakers that only watch, or do nothing.

use tokio::time::advance;
use watertight_breaker::State;
use watertight_core::Mode;

use crate::stage::{SECOND, stage};

#[tokio::test(start_paused = true)]
async fn in_shadow_it_moves_as_if_enforced_and_refuses_nothing() {
    let mut stage = stage(|it| {
        it.mode(Mode::Shadow)
            .consecutive_failures(2)
            .open_for(SECOND)
            .close_after(1)
    });

    stage.play("FF").await;
    assert_eq!(stage.state(), State::Open);

    // These would have been refused, and do not vote.
    stage.play("SFFS").await;
    assert_eq!(stage.state(), State::Open);
    let counted = stage.counted();
    assert_eq!((counted.calls.failure, counted.calls.rejected), (2, 0));
    let shadow = counted.rejections.iter().find(|it| it.mode == Mode::Shadow);
    assert_eq!(shadow.unwrap().count, 4);

    advance(SECOND).await;
    stage.play("S").await;
    assert_eq!(stage.state(), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_counts_nothing_and_refuses_nothing() {
    let mut stage = stage(|it| it.mode(Mode::Off).min_calls(1));

    stage.play("FFFF").await;
    stage.breaker.force_open();
    stage.play("FFFF").await;

    let counted = stage.counted();
    assert_eq!(counted.calls, Default::default());
    assert_eq!(counted.in_flight, Some(0));
    assert_eq!(stage.breaker.snapshot().standing.calls, 0);
}

#[tokio::test(start_paused = true)]
async fn it_may_be_switched_while_it_is_open() {
    let mut stage = stage(|it| it.min_calls(1));
    stage.play("F").await;
    stage.refusal();

    stage.breaker.set_mode(Mode::Shadow);
    stage.play("S").await;
    stage.breaker.set_mode(Mode::Off);
    stage.play("S").await;
    stage.breaker.set_mode(Mode::Enforce);

    stage.refusal();
    assert_eq!(stage.counted().calls.rejected, 2);
}
