use std::panic::catch_unwind;
use std::time::Duration;

use metrics_util::debugging::DebuggingRecorder;
use tokio::time::advance;
use tokio_test::{assert_pending, assert_ready_ok};
use watertight_core::{Budget, Mode};
use watertight_hedge::{HedgeConfig, HedgeHandle, HedgeLayer, Trigger};
use watertight_metrics::Registry;

use crate::stage::{DELAY, Stage, stage, successes_told};

fn after(delay: Duration) -> HedgeConfig {
    HedgeConfig {
        trigger: Trigger::After(delay),
        ..HedgeConfig::default()
    }
}

#[tokio::test(start_paused = true)]
async fn settings_change_while_calls_are_in_flight() {
    let mut stage = stage(|it| it);
    let (mut old, _primary) = stage.start();

    stage.hedge.reconfigure(after(5 * DELAY)).unwrap();
    let (mut new, _other) = stage.start();

    advance(DELAY).await;
    assert_pending!(old.poll());
    assert_pending!(new.poll());
    assert_eq!(stage.hedge.snapshot().sent, 1);
    advance(4 * DELAY).await;
    assert_pending!(new.poll());
    assert_eq!(stage.hedge.snapshot().sent, 2);
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_latencies_stays() {
    let mut stage = stage(|it| it.after_percentile(0.5).min_samples(20));
    for took in 1..=20 {
        let (mut call, primary) = stage.start();
        advance(took * DELAY).await;
        primary.succeeds();
        assert_ready_ok!(call.poll());
    }
    let median = stage.hedge.delay().unwrap();

    let higher = HedgeConfig {
        trigger: Trigger::Percentile(0.9),
        min_samples: 20,
        ..HedgeConfig::default()
    };
    stage.hedge.reconfigure(higher).unwrap();
    assert!(stage.hedge.delay().unwrap() > 3 * median / 2);

    stage.hedge.set_mode(Mode::Shadow);
    assert!(stage.hedge.delay().unwrap() > 3 * median / 2);
    stage.hedge.reconfigure(after(DELAY)).unwrap();
    assert_eq!(stage.hedge.delay(), Some(DELAY));
}

#[test]
fn an_invalid_config_is_refused_and_the_old_one_stays() {
    let stage = stage(|it| it);
    let config = HedgeConfig {
        max_hedges: 99,
        ..after(DELAY)
    };

    let error = stage.hedge.reconfigure(config).unwrap_err();

    assert_eq!(
        error.to_string(),
        "`max_hedges` is 99, but must be at most 4"
    );
    assert_eq!(stage.hedge.config(), after(DELAY));
}

#[test]
fn a_build_that_cannot_be_says_why() {
    let builder = || HedgeLayer::builder("search").registry(&Registry::new());

    let error = builder().after_percentile(98.0).try_build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "`trigger.percentile` is 98.0, but must be a ratio above 0.0 and up to 1.0"
    );
    assert!(builder().budget(Budget::ratio(-1.0)).try_build().is_err());
    let panic = catch_unwind(|| builder().max_hedges(5).build()).unwrap_err();
    let text = panic.downcast_ref::<String>().unwrap();
    assert_eq!(text, "`max_hedges` is 5, but must be at most 4");
}

#[tokio::test(start_paused = true)]
async fn the_registry_finds_and_shows_it() {
    let mut stage = stage(|it| it);
    let (mut call, _primary, hedge) = stage.start_hedged().await;
    assert_eq!(stage.counted().in_flight, Some(1));
    hedge.succeeds();
    assert_ready_ok!(call.poll());
    drop(call);

    let found: HedgeHandle = stage.registry.find("search").unwrap();
    assert_eq!(found.snapshot(), stage.hedge.snapshot());
    let counted = stage.counted();
    assert_eq!((counted.kind, counted.name.as_str()), ("hedge", "search"));
    assert_eq!((counted.calls.success, counted.in_flight), (1, Some(0)));
    let won: Vec<_> = counted
        .counts
        .iter()
        .map(|it| (it.metric, it.label, it.count))
        .collect();
    let metric = "watertight_hedges_total";
    assert_eq!(
        won,
        [
            (metric, Some(("winner", "primary")), 0),
            (metric, Some(("winner", "hedge")), 1)
        ]
    );
    assert_eq!(counted.config["trigger"], "After(10ms)");
}

#[tokio::test(start_paused = true)]
async fn services_of_one_layer_share_what_they_know() {
    let mut stage = stage(|it| it.after_percentile(0.5).min_samples(2));
    let clone = stage.service.clone();
    for service in [clone.clone(), clone] {
        stage.service = service;
        let (mut call, primary) = stage.start();
        primary.succeeds();
        assert_ready_ok!(call.poll());
    }

    assert!(stage.hedge.delay().is_some());
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_has_counted_is_told_as_it_goes_and_what_outlives_it_later() {
    let recorder = DebuggingRecorder::new();
    let mut stage = stage(|it| it);
    for _ in 0..2 {
        let (mut call, attempt) = stage.start();
        attempt.succeeds();
        assert_ready_ok!(call.poll());
    }
    let (mut call, attempt) = stage.start();
    let Stage {
        service,
        hedge,
        registry,
        ..
    } = stage;

    drop((service, hedge));
    assert_eq!(successes_told(&registry, &recorder), Some(2));

    attempt.succeeds();
    assert_ready_ok!(call.poll());
    drop(call);
    assert_eq!(successes_told(&registry, &recorder), Some(1));
}
