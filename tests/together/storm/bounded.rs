//! From a bounded queue, at a server that knows how long its callers wait.

use super::load::{OUTAGE, SERVED, healed, rate};
use super::stack::{Parts, Scene, play};

/// Plays it with all parts, and returns how long after the outage all is well.
async fn heals_after(offered: u32, seconds: u32) -> u32 {
    let lost_one_in = 1;
    let scene = Scene {
        offered,
        seconds,
        lost_one_in,
    };

    let seen = play(Parts::ALL, scene).await;

    let healed = healed(&seen.good, offered).expect("it heals");
    let after = healed.saturating_sub(OUTAGE.end);
    let outage = rate(&seen.sent, OUTAGE);
    println!(
        "{offered} a second: {outage:.0} sent a second in the outage, all well {after} s after it"
    );
    assert!(after <= 2, "{offered}: {:?}", seen.good);
    assert_eq!(
        &seen.sent[healed as usize..seconds as usize],
        &seen.good[healed as usize..]
    );
    after
}

#[tokio::test(start_paused = true)]
async fn it_is_over_two_seconds_after_the_outage() {
    for offered in (280..SERVED).step_by(5).chain([SERVED - 1]) {
        assert_eq!(heals_after(offered, 40).await, 1);
    }
}

/// With few calls a second, single ones decide how soon the breaker is open and closed again.
#[tokio::test(start_paused = true)]
async fn it_is_over_as_soon_at_any_smaller_load() {
    for offered in (1..50).chain((50..280).step_by(5)) {
        heals_after(offered, 25).await;
    }
}
