//! A look at, and a hand on, a live bulkhead.

use metrics_util::debugging::DebuggingRecorder;
use tokio::time::advance;
use watertight_bulkhead::{BulkheadConfig, BulkheadHandle, BulkheadLayer, Limit, Order};
use watertight_core::Mode;
use watertight_metrics::{Registry, What};

use crate::stage::{InFlight, MS, SECOND, Stage, stage, successes_told};

#[tokio::test(start_paused = true)]
async fn shows_how_the_bulkhead_stands() {
    let mut stage = stage(4, |it| {
        it.max_queue(5).max_wait(SECOND).partition("web", 0.5)
    });
    let _running = stage.start_all(3);

    let handle = &stage.bulkhead;
    assert_eq!(handle.name(), "payments");
    assert_eq!((handle.limit(), handle.in_flight()), (4, 3));
    assert_eq!((handle.queued(), handle.utilization()), (0, 0.75));
    assert_eq!(handle.partition("web").unwrap().slots, 2);
    assert_eq!(handle.snapshot().mode, Mode::Enforce);
    assert_eq!(handle.snapshot().queue_wait, None);
}

#[tokio::test(start_paused = true)]
async fn the_registry_finds_it_and_shows_its_gauges() {
    let mut stage = stage(4, |it| it.max_queue(5).max_wait(SECOND));
    let _running = stage.start_all(4);
    let _waiting = stage.wait("pay");

    let found: BulkheadHandle = stage.registry.find("payments").unwrap();
    assert_eq!(found.in_flight(), 4);
    let counted = stage.counted();
    assert_eq!(counted.kind, "bulkhead");
    assert_eq!((counted.in_flight, counted.limit), (Some(4), Some(4)));
    assert_eq!(counted.queue_depth, Some(1));
    assert_eq!(counted.utilization, Some(1.0));
    assert_eq!(counted.config["max_queue"], "5");
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_lets_the_next_call_pass_at_once() {
    let mut stage = stage(4, |it| it);
    let _running = stage.start_all(4);
    stage.finds_it_full("pay");

    stage.bulkhead.resize(5).unwrap();

    let _fifth = stage.start("pay");
    stage.finds_it_full("pay");
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_lets_those_who_wait_pass() {
    let mut stage = stage(1, |it| it.max_queue(5).max_wait(SECOND));
    let _running = stage.start("first");
    let waiting = ["second", "third"].map(|name| (name, stage.wait(name)));

    stage.bulkhead.resize(3).unwrap();

    for (name, call) in waiting {
        assert!(call.is_woken());
        stage.reaches_backend(call, name).succeeds();
    }
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_ends_no_call_and_admits_none_before_there_is_room() {
    let mut stage = stage(4, |it| it.max_queue(5).max_wait(SECOND));
    let mut running = stage.start_all(4);
    let waiting = stage.wait("waiting");

    stage.bulkhead.resize(3).unwrap();

    assert_eq!(stage.bulkhead.in_flight(), 4);
    assert!(stage.bulkhead.utilization() > 1.0);
    running.pop().unwrap().succeeds();
    assert!(!waiting.is_woken());
    running.pop().unwrap().succeeds();
    assert!(waiting.is_woken());
    stage.reaches_backend(waiting, "waiting").succeeds();
    running.into_iter().for_each(InFlight::succeeds);
    assert_eq!(stage.bulkhead.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_change_that_cannot_be_is_refused_and_changes_nothing() {
    let mut stage = stage(1, |it| it);

    let error = stage.bulkhead.resize(0).unwrap_err();
    assert_eq!(error.field(), "limit");
    let config = BulkheadConfig {
        max_queue: 3,
        ..BulkheadConfig::new(9)
    };
    let error = stage.bulkhead.reconfigure(config).unwrap_err();
    assert_eq!(error.field(), "max_wait");

    let _running = stage.start("pay");
    stage.finds_it_full("pay");
}

#[tokio::test(start_paused = true)]
async fn a_new_config_is_in_force_while_calls_are_in_flight() {
    let mut stage = stage(1, |it| it);
    let mut events = stage.registry.subscribe();
    let running = stage.start("first");
    stage.finds_it_full("pay");

    let config = BulkheadConfig {
        max_queue: 2,
        max_wait: SECOND,
        order: Order::Lifo,
        ..BulkheadConfig::new(1)
    };
    stage.bulkhead.reconfigure(config).unwrap();

    assert_eq!(
        events.next().await.unwrap().unwrap().what,
        What::ConfigChanged
    );
    let second = stage.wait("second");
    let third = stage.wait("third");
    assert_eq!(stage.bulkhead.queued(), 2);
    running.succeeds();
    assert!(!second.is_woken());
    stage.reaches_backend(third, "third").succeeds();

    // Who waits does so for as long as was promised.
    stage.bulkhead.reconfigure(BulkheadConfig::new(1)).unwrap();
    advance(500 * MS).await;
    stage.reaches_backend(second, "second").succeeds();
}

#[tokio::test(start_paused = true)]
async fn partitions_may_come_and_go_while_their_calls_are_in_flight() {
    let mut stage = stage(4, |it| {
        it.max_queue(1)
            .max_wait(SECOND)
            .partition("a", 0.5)
            .partition_by(|request: &&'static str| Some(*request))
    });
    let a = stage.start("a");
    let config = |name: &str| BulkheadConfig {
        max_queue: 1,
        max_wait: SECOND,
        partitions: [(name.to_owned(), 0.25)].into(),
        ..BulkheadConfig::new(4)
    };

    stage.bulkhead.reconfigure(config("b")).unwrap();
    let b = stage.start("b");

    let in_flight = |name| stage.bulkhead.partition(name).unwrap().in_flight;
    assert_eq!((in_flight("a"), in_flight("b")), (1, 1));
    a.succeeds();
    b.succeeds();
    assert_eq!((in_flight("a"), in_flight("b")), (0, 0));
    assert_eq!(stage.bulkhead.partition("a").unwrap().slots, 0);
    assert_eq!(stage.bulkhead.partition("b").unwrap().slots, 1);
}

#[tokio::test(start_paused = true)]
async fn a_new_config_may_bring_what_there_was_not() {
    let mut stage = stage(9, |it| {
        it.partition_by(|request: &&'static str| Some(*request))
    });
    stage.start("web").succeeds();

    let config = BulkheadConfig {
        max_queue: 1,
        max_wait: SECOND,
        partitions: [("web".to_owned(), 0.5)].into(),
        total: Some(2),
        ..BulkheadConfig::new(9)
    };
    stage.bulkhead.reconfigure(config.clone()).unwrap();
    let _running = [stage.start("web"), stage.start("web")];
    let _waiting = stage.wait("web");
    stage.finds_it_full("web");
    assert_eq!(stage.bulkhead.partition("web").unwrap().in_flight, 2);

    let mode = Mode::Shadow;
    stage
        .bulkhead
        .reconfigure(BulkheadConfig { mode, ..config })
        .unwrap();
    stage.start("web").succeeds();
    assert_eq!(stage.bulkhead.snapshot().mode, mode);
}

#[tokio::test(start_paused = true)]
async fn what_a_limit_has_learnt_outlasts_a_change_of_other_settings() {
    use crate::adaptive::{Counts, counting};

    let limit = Limit::custom(counting(&Counts::default(), 5));
    let mut stage = stage(limit.clone(), |it| it);
    for _ in 0..3 {
        stage.start("pay").succeeds();
    }
    assert_eq!(stage.bulkhead.limit(), 8);

    let other = BulkheadConfig {
        max_queue: 1,
        max_wait: SECOND,
        ..BulkheadConfig::new(limit)
    };
    stage.bulkhead.reconfigure(other.clone()).unwrap();
    assert_eq!(stage.bulkhead.limit(), 8);
    stage.start("pay").succeeds();
    assert_eq!(stage.bulkhead.limit(), 9);

    stage
        .bulkhead
        .reconfigure(BulkheadConfig {
            limit: Limit::from(3),
            ..other
        })
        .unwrap();
    stage.start("pay").succeeds();
    assert_eq!(stage.bulkhead.limit(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_handle_keeps_its_bulkhead_alive_and_a_registry_does_not() {
    let registry = Registry::new();
    let layer = BulkheadLayer::builder("payments", 1)
        .registry(&registry)
        .build();
    let handle = layer.handle();
    drop(layer);

    assert_eq!(handle.limit(), 1);
    assert_eq!(registry.snapshot().instances.len(), 1);
    drop(handle);
    assert_eq!(registry.snapshot().instances.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_settings_in_force_can_be_changed_one_by_one() {
    let stage = stage(4, |it| it.max_queue(5).max_wait(SECOND));
    let handle = &stage.bulkhead;
    handle.set_mode(Mode::Shadow);
    handle.resize(8).unwrap();

    let mut config = handle.config();
    config.max_queue = 10;
    handle.reconfigure(config.clone()).unwrap();

    assert_eq!(handle.config(), config);
    assert_eq!((config.limit, config.max_wait), (Limit::Fixed(8), SECOND));
    assert_eq!(handle.snapshot().mode, Mode::Shadow);
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_has_counted_is_told_as_it_goes_and_what_outlives_it_later() {
    let recorder = DebuggingRecorder::new();
    let mut stage = stage(3, |it| it);
    stage.start("pay").succeeds();
    stage.start("pay").succeeds();
    let call = stage.start("pay");
    let Stage {
        service,
        bulkhead,
        registry,
        ..
    } = stage;

    drop((service, bulkhead));
    assert_eq!(successes_told(&registry, &recorder), Some(2));

    call.succeeds();
    assert_eq!(successes_told(&registry, &recorder), Some(1));
}
