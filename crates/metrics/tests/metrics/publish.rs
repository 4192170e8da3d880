//! What a `metrics` recorder is told.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use metrics::{Unit, with_local_recorder};
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::advance;
use tokio_test::assert_pending;
use tokio_test::task::spawn;
use watertight_core::{Mode, Reason};
use watertight_metrics::{
    DurationCounts, Instance, PatternCount, Registry, RejectionCount, TransitionCount,
};

use crate::fake::Fake;

/// What a recorder was told since it was last asked: `name{label="value"}` and the value.
fn told(recorder: &DebuggingRecorder) -> BTreeMap<String, DebugValue> {
    recorder
        .snapshotter()
        .snapshot()
        .into_vec()
        .into_iter()
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key
                .key()
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            (
                format!("{}{{{}}}", key.key().name(), labels.join(",")),
                value,
            )
        })
        .collect()
}

fn publish(registry: &Registry) -> BTreeMap<String, DebugValue> {
    let recorder = DebuggingRecorder::new();
    with_local_recorder(&recorder, || registry.publish());
    told(&recorder)
}

fn counter(told: &BTreeMap<String, DebugValue>, series: &str) -> u64 {
    match told.get(series) {
        Some(DebugValue::Counter(value)) => *value,
        other => panic!("{series}: {other:?} of {told:#?}"),
    }
}

fn gauge(told: &BTreeMap<String, DebugValue>, series: &str) -> f64 {
    match told.get(series) {
        Some(DebugValue::Gauge(value)) => value.0,
        other => panic!("{series}: {other:?} of {told:#?}"),
    }
}

const SUCCESSES: &str = "watertight_calls_total{layer=breaker,name=payments,outcome=success}";
const DURATION: &str = "watertight_call_duration_seconds{layer=breaker,name=payments}";
const IN_FLIGHT: &str = "watertight_in_flight{layer=breaker,name=payments}";
const INSTANCES: &str = "watertight_instances{layer=breaker}";

#[test]
fn writes_the_growth_since_the_last_time() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    let recorder = DebuggingRecorder::new();
    let publish = || with_local_recorder(&recorder, || registry.publish());

    fake.succeed(3);
    publish();
    fake.succeed(4);
    publish();
    publish();
    assert_eq!(counter(&told(&recorder), SUCCESSES), 7);

    publish();
    assert_eq!(counter(&told(&recorder), SUCCESSES), 0);
}

#[test]
fn a_recorder_that_comes_late_loses_nothing() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    fake.succeed(3);
    fake.set(|looks| looks.durations = Some(DurationCounts(vec![(Duration::from_secs(1), 3)])));

    registry.publish();
    registry.publish();

    let told = publish(&registry);
    assert_eq!(counter(&told, SUCCESSES), 3);
    assert_eq!(told[DURATION], DebugValue::Histogram(vec![1.0.into(); 3]));
}

#[test]
fn what_is_handed_over_again_is_told_once() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    let counted = |count: u64| {
        let mut counted = fake.snapshot();
        counted.calls.success = count;
        counted.rejections = vec![RejectionCount {
            reason: Reason::CircuitOpen,
            mode: Mode::Enforce,
            count,
        }];
        counted.transitions = vec![TransitionCount {
            from: "closed",
            to: "open",
            count,
        }];
        counted.counts = vec![PatternCount {
            metric: "watertight_retries_total",
            label: None,
            count,
        }];
        counted.durations = Some(DurationCounts(vec![(Duration::from_secs(1), count)]));
        counted.keys_evicted = Some(count);
        counted
    };

    for count in [2, 5, 5, 7] {
        fake.reporter.retired(counted(count));
    }

    let told = publish(&registry);
    let counters = told.values().filter_map(|value| match value {
        DebugValue::Counter(count) if *count > 0 => Some(*count),
        _ => None,
    });
    assert_eq!(counters.collect::<Vec<_>>(), [7; 5], "{told:#?}");
    assert_eq!(told[DURATION], DebugValue::Histogram(vec![1.0.into(); 7]));
}

#[test]
fn exactly_one_state_is_1() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    let states = || {
        let told = publish(&registry);
        ["closed", "open", "half_open"].map(|state| {
            gauge(
                &told,
                &format!("watertight_breaker_state{{name=payments,state={state}}}"),
            )
        })
    };

    fake.go_to("closed");
    assert_eq!(states(), [1.0, 0.0, 0.0]);
    fake.go_to("open");
    assert_eq!(states(), [0.0, 1.0, 0.0]);

    let newer = Fake::new(&registry, "breaker", "payments");
    newer.go_to("half_open");
    assert_eq!(states(), [0.0, 0.0, 1.0]);

    drop(newer);
    assert_eq!(states(), [0.0, 1.0, 0.0]);
    drop(fake);
    assert_eq!(states(), [0.0; 3]);
}

#[test]
fn counts_refusals_and_changes_of_state() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    fake.go_to("closed");
    fake.go_to("open");
    fake.set(|looks| {
        looks.rejections = [(Mode::Enforce, 5), (Mode::Shadow, 2)]
            .map(|(mode, count)| RejectionCount {
                reason: Reason::CircuitOpen,
                mode,
                count,
            })
            .into();
    });

    let told = publish(&registry);

    let reason = Reason::CircuitOpen.as_str();
    for (mode, count) in [("enforce", 5), ("shadow", 2)] {
        let labels = format!("layer=breaker,name=payments,reason={reason},mode={mode}");
        let series = format!("watertight_rejections_total{{{labels}}}");
        assert_eq!(counter(&told, &series), count);
    }
    let series = "watertight_breaker_transitions_total{name=payments,from=closed,to=open}";
    assert_eq!(counter(&told, series), 1);
}

#[test]
fn writes_what_only_one_pattern_counts() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "hedge", "search");
    fake.set(|looks| {
        looks.counts = [Some(("winner", "hedge")), None]
            .map(|label| PatternCount {
                metric: "watertight_hedges_total",
                label,
                count: 3,
            })
            .into();
    });

    let told = publish(&registry);

    for labels in ["name=search,winner=hedge", "name=search"] {
        let series = format!("watertight_hedges_total{{{labels}}}");
        assert_eq!(counter(&told, &series), 3);
    }
}

#[test]
fn layers_of_one_name_are_summed_up() {
    let registry = Registry::new();
    let twins = [(); 2].map(|()| Fake::new(&registry, "breaker", "payments"));
    for (twin, utilization) in twins.iter().zip([0.75, 0.25]) {
        twin.succeed(3);
        twin.set(|looks| {
            looks.in_flight = Some(2);
            looks.utilization = Some(utilization);
            looks.durations = Some(DurationCounts(vec![(Duration::from_secs(1), 2)]));
        });
    }

    let told = publish(&registry);

    assert_eq!(counter(&told, SUCCESSES), 6);
    assert_eq!(gauge(&told, IN_FLIGHT), 4.0);
    assert_eq!(gauge(&told, INSTANCES), 2.0);
    let utilization = "watertight_utilization{layer=breaker,name=payments}";
    assert_eq!(gauge(&told, utilization), 0.75);
    assert_eq!(told[DURATION], DebugValue::Histogram(vec![1.0.into(); 4]));
}

#[test]
fn the_gauges_of_what_is_gone_are_zero() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    fake.set(|looks| looks.in_flight = Some(2));
    assert_eq!(gauge(&publish(&registry), IN_FLIGHT), 2.0);

    drop(fake);

    let told = publish(&registry);
    assert_eq!(gauge(&told, IN_FLIGHT), 0.0);
    assert_eq!(gauge(&told, INSTANCES), 0.0);
}

#[test]
fn what_a_layer_counted_before_it_went_is_told() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    fake.succeed(3);
    publish(&registry);
    fake.succeed(4);

    drop(fake);
    let short_lived = Fake::new(&registry, "breaker", "payments");
    short_lived.succeed(5);
    drop(short_lived);

    assert_eq!(counter(&publish(&registry), SUCCESSES), 9);
}

#[test]
fn threads_that_publish_at_once_tell_each_call_once() {
    let registry = Registry::new();
    let recorder = DebuggingRecorder::new();
    let publish = || with_local_recorder(&recorder, || registry.publish());

    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let fake = Fake::new(&registry, "breaker", "payments");
                    fake.succeed(1);
                    publish();
                    fake.succeed(1);
                }
            });
        }
    });

    publish();
    assert_eq!(counter(&told(&recorder), SUCCESSES), 4 * 50 * 2);
}

#[test]
fn a_count_that_went_back_is_told_when_it_has_caught_up() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    let told = |calls| {
        fake.set(|looks| looks.calls.success = calls);
        counter(&publish(&registry), SUCCESSES)
    };

    assert_eq!([5, 2, 5, 6].map(told), [5, 0, 0, 1]);
}

#[test]
fn each_recorder_is_told_what_the_metrics_mean() {
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    fake.set(|looks| looks.durations = Some(DurationCounts(vec![(Duration::from_secs(1), 1)])));
    let recorders = [DebuggingRecorder::new(), DebuggingRecorder::new()];

    for recorder in &recorders {
        fake.set(|looks| {
            looks
                .durations
                .iter_mut()
                .for_each(|counts| counts.0[0].1 += 1)
        });
        with_local_recorder(recorder, || registry.publish());

        for (key, unit, text, _) in recorder.snapshotter().snapshot().into_vec() {
            let name = key.key().name();
            assert!(text.is_some_and(|text| !text.is_empty()), "{name}");
            let expected = match name {
                "watertight_call_duration_seconds" => Unit::Seconds,
                _ => Unit::Count,
            };
            assert_eq!(unit, Some(expected), "{name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn publishes_at_once_and_then_after_each_period() {
    const MINUTE: Duration = Duration::from_secs(60);
    let registry = Registry::new();
    let fake = Fake::new(&registry, "breaker", "payments");
    let recorder = DebuggingRecorder::new();
    let mut publishing = spawn(registry.publish_every(MINUTE));
    let mut next = || {
        fake.succeed(1);
        with_local_recorder(&recorder, || assert_pending!(publishing.poll()));
        counter(&told(&recorder), SUCCESSES)
    };

    assert_eq!(next(), 1);
    advance(MINUTE / 2).await;
    assert_eq!(next(), 0);
    advance(MINUTE / 2).await;
    assert_eq!(next(), 2);

    // Of the periods that were missed, one is made up for.
    fake.looked.store(0, Ordering::Relaxed);
    advance(5 * MINUTE + MINUTE / 2).await;
    assert_eq!(next(), 1);
    assert_eq!(fake.looked.load(Ordering::Relaxed), 1);
    advance(MINUTE / 2).await;
    assert_eq!(next(), 1);
}

#[tokio::test(start_paused = true)]
async fn any_period_will_do() {
    let registry = Registry::new();

    for period in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let mut publishing = spawn(registry.publish_every(period));
        assert_pending!(publishing.poll());
        advance(Duration::from_secs(1)).await;
        assert_pending!(publishing.poll());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Make,
    Drop(prop::sample::Index),
    Count(prop::sample::Index, u64),
    Publish { recorder: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        Just(Step::Make),
        any::<prop::sample::Index>().prop_map(Step::Drop),
        (any::<prop::sample::Index>(), 0..9_u64).prop_map(|(of, n)| Step::Count(of, n)),
        any::<bool>().prop_map(|recorder| Step::Publish { recorder }),
    ]
}

proptest! {
    /// Whatever layers of one name come and go, after a publish the recorder has each call once.
    #[test]
    fn every_call_is_told_once(steps in vec(step(), 1..60)) {
        let registry = Registry::new();
        let recorder = DebuggingRecorder::new();
        let mut live = vec![Fake::new(&registry, "breaker", "payments")];
        let (mut counted, mut heard) = (0, 0);

        for step in steps.into_iter().chain([Step::Publish { recorder: true }]) {
            match step {
                Step::Make => live.push(Fake::new(&registry, "breaker", "payments")),
                Step::Drop(of) if !live.is_empty() => {
                    live.swap_remove(of.index(live.len()));
                }
                Step::Count(of, n) if !live.is_empty() => {
                    of.get(&live).succeed(n);
                    counted += n;
                }
                Step::Publish { recorder: false } => registry.publish(),
                Step::Publish { recorder: true } => {
                    with_local_recorder(&recorder, || registry.publish());
                    heard += counter(&told(&recorder), SUCCESSES);
                    prop_assert_eq!(heard, counted);
                }
                Step::Drop(_) | Step::Count(..) => {}
            }
        }
    }
}
