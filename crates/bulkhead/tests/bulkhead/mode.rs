//! Bulkheads that only watch, or do nothing.

use watertight_bulkhead::{BulkheadConfig, BulkheadHandle, Limit};
use watertight_core::Mode;

use crate::stage::{InFlight, SECOND, stage};

#[tokio::test(start_paused = true)]
async fn in_shadow_all_pass_at_once_and_are_counted() {
    let mut stage = stage(2, |it| it.mode(Mode::Shadow).max_queue(1).max_wait(SECOND));
    let held: Vec<InFlight> = stage.start_all(2);

    // The one would have had to wait, the other would have been refused.
    let would_wait = stage.start("pay");
    let would_be_refused = stage.start("pay");

    assert_eq!(stage.bulkhead.in_flight(), 2);
    would_wait.succeeds();
    would_be_refused.fails();
    held.into_iter().for_each(InFlight::succeeds);
    let counted = stage.counted();
    assert_eq!((counted.calls.success, counted.calls.failure), (2, 0));
    assert_eq!(counted.calls.rejected, 0);
    let shadow = counted.rejections.iter().find(|it| it.mode == Mode::Shadow);
    assert_eq!(shadow.unwrap().count, 2);
}

#[tokio::test(start_paused = true)]
async fn in_shadow_a_slot_moves_as_if_it_were_enforced() {
    let mut stage = stage(1, |it| it.mode(Mode::Shadow));
    let first = stage.start("pay");
    stage.start("pay").succeeds();

    first.succeeds();
    stage.start("pay").succeeds();

    let counted = stage.counted();
    let shadow = counted.rejections.iter().find(|it| it.mode == Mode::Shadow);
    assert_eq!((shadow.unwrap().count, counted.calls.success), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn what_would_have_been_refused_teaches_the_limit_nothing() {
    use crate::adaptive::{Counts, counting};

    let counts = Counts::default();
    let limit = Limit::custom(counting(&counts, 1));
    let mut stage = stage(limit, |it| it.mode(Mode::Shadow));
    let held = stage.start("pay");

    stage.start("pay").succeeds();
    assert_eq!(counts.samples(), 0);

    held.succeeds();
    assert_eq!(counts.samples(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_waits_passes_when_it_is_no_longer_enforced() {
    type Change = fn(&BulkheadHandle);
    let changes: [Change; 3] = [
        |bulkhead| bulkhead.set_mode(Mode::Off),
        |bulkhead| bulkhead.set_mode(Mode::Shadow),
        |bulkhead| {
            let config = BulkheadConfig {
                mode: Mode::Off,
                ..BulkheadConfig::new(1)
            };
            bulkhead.reconfigure(config).unwrap();
        },
    ];
    for change in changes {
        let mut stage = stage(1, |it| it.max_queue(2).max_wait(SECOND));
        let running = stage.start("first");
        let waiting = ["second", "third"].map(|name| (name, stage.wait(name)));

        change(&stage.bulkhead);

        for (name, call) in waiting {
            assert!(call.is_woken());
            stage.reaches_backend(call, name).succeeds();
        }
        assert_eq!(
            (stage.bulkhead.in_flight(), stage.bulkhead.queued()),
            (1, 0)
        );
        running.succeeds();

        stage.bulkhead.set_mode(Mode::Enforce);
        assert_eq!((stage.bulkhead.in_flight(), stage.bulkhead.limit()), (0, 1));
        let _one = stage.start("pay");
        assert_eq!(stage.bulkhead.in_flight(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_counts_nothing_and_refuses_nothing() {
    let mut stage = stage(1, |it| it.mode(Mode::Off));

    let held: Vec<InFlight> = stage.start_all(3);

    assert_eq!(stage.bulkhead.in_flight(), 0);
    held.into_iter().for_each(InFlight::succeeds);
    assert_eq!(stage.counted().calls, Default::default());
}

#[tokio::test(start_paused = true)]
async fn it_may_be_switched_while_calls_are_in_flight_and_wait() {
    let mut stage = stage(1, |it| it.max_queue(1).max_wait(SECOND));
    let running = stage.start("first");
    let waiting = stage.wait("second");

    stage.bulkhead.set_mode(Mode::Off);
    let passing = stage.start("third");
    stage.bulkhead.set_mode(Mode::Enforce);

    // That lets the second pass, and so there are more than the limit.
    let second = stage.reaches_backend(waiting, "second");
    let fourth = stage.wait("fourth");
    stage.finds_it_full("fifth");
    running.succeeds();
    assert!(!fourth.is_woken());
    second.succeeds();
    stage.reaches_backend(fourth, "fourth").succeeds();
    passing.succeeds();
    assert_eq!(stage.bulkhead.in_flight(), 0);
    assert_eq!(stage.counted().calls.success, 3);
}
