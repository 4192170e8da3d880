//! Who matters, and whose the slots are.

use watertight_bulkhead::{Order, Triage};
use watertight_core::{Priority, Reason};

use crate::stage::{InFlight, SECOND, stage, with_priority};

/// Takes the request for the name of its priority.
fn named(request: &&str) -> Priority {
    match *request {
        "critical" => Priority::Critical,
        "high" => Priority::High,
        "low" => Priority::Low,
        "background" => Priority::Background,
        _ => Priority::Normal,
    }
}

#[tokio::test(start_paused = true)]
async fn the_most_important_call_is_served_first() {
    let mut stage = stage(1, |it| {
        it.max_queue(9)
            .max_wait(SECOND)
            .order(Order::Priority)
            .priority(named)
    });
    let mut running = stage.start("normal");
    let mut waiting: Vec<_> = ["low", "critical", "background", "normal", "high"]
        .map(|name| (name, stage.wait(name)))
        .into();

    let mut served = Vec::new();
    while !waiting.is_empty() {
        running.succeeds();
        let next = waiting.iter().position(|(_, call)| call.is_woken());
        let (name, call) = waiting.remove(next.unwrap());
        served.push(name);
        running = stage.reaches_backend(call, name);
    }
    assert_eq!(served, ["critical", "high", "normal", "low", "background"]);
}

#[tokio::test(start_paused = true)]
async fn by_default_a_call_matters_as_its_context_says() {
    let mut stage = stage(1, |it| {
        it.max_queue(2).max_wait(SECOND).order(Order::Priority)
    });
    let running = stage.start("first");
    let low = with_priority(Priority::Low, || stage.wait("low"));
    let high = with_priority(Priority::High, || stage.wait("high"));

    running.succeeds();

    assert!(high.is_woken() && !low.is_woken());
}

#[tokio::test(start_paused = true)]
async fn a_reserve_is_left_to_those_it_is_for() {
    let mut stage = stage(10, |it| {
        it.reserve(Priority::High, 0.2)
            .reserve(Priority::Critical, 0.1)
            .priority(named)
    });

    let _running = stage.start_all(7);

    stage.finds_it_full("normal");
    stage.finds_it_full("background");
    let _high = [stage.start("high"), stage.start("high")];
    stage.finds_it_full("high");
    let critical = stage.start("critical");
    stage.finds_it_full("critical");
    critical.succeeds();
    stage.finds_it_full("high");
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_a_reserve_does_not_hold_up_those_it_is_not_for() {
    let mut stage = stage(4, |it| {
        it.max_queue(9)
            .max_wait(SECOND)
            .reserve(Priority::Critical, 0.25)
            .priority(named)
    });
    let mut running = stage.start_all(3);
    let normal = stage.wait("normal");

    let critical = stage.start("critical");

    critical.succeeds();
    assert!(!normal.is_woken());
    running.pop().unwrap().succeeds();
    stage.reaches_backend(normal, "normal").succeeds();
}

/// Takes the part of the request before the dash for its partition.
fn partition(request: &&'static str) -> Option<&'static str> {
    Some(request.split_once('-')?.0)
}

#[tokio::test(start_paused = true)]
async fn a_partition_borrows_what_others_leave_free() {
    let mut stage = stage(4, |it| {
        it.max_queue(1)
            .max_wait(SECOND)
            .partition("web", 0.5)
            .partition("batch", 0.5)
            .partition_by(partition)
    });

    let running: Vec<_> = (0..4).map(|_| stage.start("web-1")).collect();

    let web = stage.bulkhead.partition("web").unwrap();
    assert_eq!((web.slots, web.in_flight), (2, 4));
    let waiting = stage.wait("batch-1");
    stage.finds_it_full("batch-2");
    drop((waiting, running));
    assert_eq!(stage.bulkhead.partition("web").unwrap().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn what_was_lent_goes_back_to_the_owner_first() {
    let mut stage = stage(4, |it| {
        it.max_queue(9)
            .max_wait(SECOND)
            .partition("web", 0.5)
            .partition("batch", 0.5)
            .partition_by(partition)
    });
    let mut running: Vec<InFlight> = (0..4).map(|_| stage.start("web-1")).collect();
    let web = stage.wait("web-2");
    let batch = [stage.wait("batch-1"), stage.wait("batch-2")];
    let late = stage.wait("batch-3");
    assert_eq!(stage.bulkhead.partition("batch").unwrap().queued, 3);

    let mut served = Vec::new();
    for (call, name) in batch.into_iter().zip(["batch-1", "batch-2"]) {
        running.pop().unwrap().succeeds();
        served.push(stage.reaches_backend(call, name));
    }
    // Now both have their shares, and who came first is next.
    running.pop().unwrap().succeeds();

    assert!(!late.is_woken());
    stage.reaches_backend(web, "web-2").succeeds();
}

#[tokio::test(start_paused = true)]
async fn a_small_share_is_a_slot_as_long_as_there_is_one() {
    let stage = stage(20, |it| {
        it.max_queue(9)
            .max_wait(SECOND)
            .partition("web", 0.04)
            .partition("batch", 0.9)
            .partition("mail", 0.06)
    });
    let slots = |limit| {
        stage.bulkhead.resize(limit).unwrap();
        ["web", "batch", "mail"].map(|name| stage.bulkhead.partition(name).unwrap().slots)
    };

    assert_eq!(slots(100), [4, 90, 6]);
    assert_eq!(slots(10), [1, 8, 1]);
    assert_eq!(slots(3), [1, 1, 1]);
    assert_eq!(slots(2), [0, 1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_nobody_has_heard_of_is_none() {
    let mut stage = stage(2, |it| {
        it.max_queue(1)
            .max_wait(SECOND)
            .partition("web", 0.5)
            .partition_by(partition)
    });

    let _running = [stage.start("mobile-1"), stage.start("nothing")];
    let _waiting = stage.wait("mobile-2");

    stage.finds_it_full("nothing");
    assert!(stage.bulkhead.partition("mobile").is_none());
    assert_eq!(stage.bulkhead.partition("web").unwrap().in_flight, 0);
}

#[tokio::test(start_paused = true)]
async fn how_a_call_is_treated_may_be_said_by_a_type() {
    #[derive(Clone)]
    struct Tier;

    impl Triage<&'static str> for Tier {
        type Partition = String;

        fn priority(&self, request: &&'static str) -> Priority {
            named(request)
        }

        fn partition(&self, request: &&'static str) -> Option<String> {
            Some(request.to_uppercase())
        }

        fn bypasses(&self, request: &&'static str) -> bool {
            *request == "health"
        }
    }
    let mut stage = stage(2, |it| {
        it.max_queue(1)
            .max_wait(SECOND)
            .reserve(Priority::Critical, 0.1)
            .partition("NORMAL", 0.5)
            .triage(Tier)
    });

    let normal = stage.start("normal");
    let waiting = stage.wait("normal");
    assert_eq!(stage.refusal("normal").reason(), Reason::BulkheadFull);
    assert_eq!(stage.bulkhead.partition("NORMAL").unwrap().in_flight, 1);
    let _critical = stage.start("critical");
    let _health = stage.start("health");
    drop((waiting, normal));
}
