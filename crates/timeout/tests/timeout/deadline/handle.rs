use std::convert::Infallible;
use std::future::ready;
use std::time::Duration;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::{Instant, advance};
use tokio_test::{assert_pending, assert_ready};
use tower::{Layer, ServiceExt, service_fn};
use watertight_core::{Context, Mode, Reason};
use watertight_metrics::{LatencySnapshot, Registry, What};
use watertight_timeout::{
    DeadlineConfig, DeadlineHandle, PropagateDeadlineConfig, PropagateDeadlineHandle,
    PropagateDeadlineLayer,
};

use super::stage::{Left, MS, S, Stage, WITHIN, reason, stage};

#[tokio::test(start_paused = true)]
async fn is_found_by_its_name() {
    let stage = stage(|it| it.hop("orders"));

    let found: DeadlineHandle = stage.registry.find("inbound").unwrap();

    assert_eq!(found.name(), "inbound");
    assert_eq!(found.config().within, WITHIN);
    let counted = stage.counted();
    assert_eq!(counted.kind, "deadline");
    assert_eq!(counted.config["within"], "10s");
    assert_eq!(counted.config["hop"], "orders");
}

#[tokio::test(start_paused = true)]
async fn new_settings_are_for_the_calls_that_come() {
    let mut stage = stage(|it| it);
    let mut before = stage.call(None);
    assert_pending!(before.poll());

    stage
        .handle
        .reconfigure(DeadlineConfig::new(2 * S))
        .unwrap();
    let mut after = stage.call(None);
    assert_pending!(after.poll());
    advance(2 * S).await;

    assert_pending!(before.poll());
    assert_eq!(
        reason(assert_ready!(after.poll())),
        Reason::DeadlineExceeded
    );
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_be_leave_the_old_ones_in_force() {
    let mut stage = stage(|it| it);

    let error = stage
        .handle
        .reconfigure(DeadlineConfig::new(Duration::ZERO))
        .unwrap_err();

    assert_eq!(error.field(), "within");
    let _call = stage.call(None);
    let deadline = stage.backend.contexts()[0].deadline;
    assert_eq!(deadline, Some(Instant::now() + WITHIN));
}

#[tokio::test(start_paused = true)]
async fn the_mode_changes_for_the_calls_that_come() {
    let mut stage = stage(|it| it);
    stage.handle.set_mode(Mode::Shadow);

    let mut call = stage.call(Some(Duration::ZERO));

    assert_pending!(call.poll());
    assert_eq!(stage.handle.snapshot().mode, Mode::Shadow);
    assert_eq!(stage.counted().mode, Mode::Shadow);
}

/// Whether percentiles are those of this time alone, as nearly as they are kept.
fn are_all(times: Option<LatencySnapshot>, time: Duration) -> bool {
    let times = times.unwrap();
    [times.p50, times.p999].iter().all(|it| {
        let ratio = it.unwrap().as_secs_f64() / time.as_secs_f64();
        (0.95..=1.05).contains(&ratio)
    })
}

#[tokio::test(start_paused = true)]
async fn shows_how_much_time_calls_have_left_and_how_late_they_are() {
    let mut stage = stage(|it| it.record_times(true));
    let deadline = Instant::now() + S;
    let context = Context {
        deadline: Some(deadline),
        ..Context::default()
    };

    advance(800 * MS).await;
    drop(context.clone().enter(|| stage.call(Some(5 * S))));
    drop(stage.call(Some(200 * MS)));
    // It says nothing, and has all the time that there is.
    drop(stage.call(None));
    let early = stage.handle.snapshot();
    assert!(are_all(early.time_left, 200 * MS), "{early:?}");
    assert_eq!(early.late_by, None);

    advance(500 * MS).await;
    drop(context.enter(|| stage.call(None)));
    let late = stage.handle.snapshot();
    assert!(are_all(late.time_left, 200 * MS), "{late:?}");
    assert!(are_all(late.late_by, 300 * MS), "{late:?}");
    assert_eq!(late.expired, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_says_no_time_is_left_does_not_say_since_when() {
    let mut stage = stage(|it| it.record_times(true));

    drop(stage.call(Some(Duration::ZERO)));

    let snapshot = stage.handle.snapshot();
    let left = snapshot.time_left.unwrap().p999.unwrap();
    assert!(left < MS, "{left:?}");
    assert_eq!((snapshot.late_by, snapshot.expired), (None, 1));
}

#[tokio::test(start_paused = true)]
async fn times_are_recorded_only_where_that_is_asked_for() {
    let mut stage = stage(|it| it);

    drop(stage.call(Some(S)));

    assert_eq!(stage.handle.snapshot().time_left, None);
}

#[tokio::test(start_paused = true)]
async fn what_passes_deadlines_on_is_found_too() {
    let registry = Registry::new();
    let _layer = PropagateDeadlineLayer::builder("payments")
        .registry(&registry)
        .build();
    let mut events = registry.subscribe();

    let found: PropagateDeadlineHandle = registry.find("payments").unwrap();
    let counted = || registry.snapshot().instances.remove(0);

    assert_eq!(found.name(), "payments");
    assert_eq!(found.config(), PropagateDeadlineConfig::default());
    found.set_mode(Mode::Off);
    assert_eq!(
        (found.snapshot().mode, counted().mode),
        (Mode::Off, Mode::Off)
    );
    let config = PropagateDeadlineConfig {
        at_most: Some(Duration::ZERO),
        ..PropagateDeadlineConfig::default()
    };
    assert_eq!(found.reconfigure(config).unwrap_err().field(), "at_most");
    let config = PropagateDeadlineConfig {
        least: S,
        at_most: Some(2 * S),
        chain: true,
        ..PropagateDeadlineConfig::default()
    };
    found.reconfigure(config).unwrap();
    let fields = ["reserve", "least", "chain", "at_most"].map(|it| counted().config[it].clone());
    assert_eq!(fields, ["5ms", "1s", "true", "2s"]);
    for what in [What::ModeChanged { mode: Mode::Off }, What::ConfigChanged] {
        assert_eq!(events.next().await.unwrap().unwrap().what, what);
    }
}

#[tokio::test(start_paused = true)]
async fn what_passes_deadlines_on_tells_what_it_has_counted_as_it_goes() {
    let registry = Registry::new();
    let layer = PropagateDeadlineLayer::builder("payments")
        .least(S)
        .write(|request: &mut Left, left| *request = Some(left))
        .registry(&registry)
        .build();
    let next = service_fn(|left: Left| ready(Ok::<_, Infallible>(left)));
    let context = Context {
        deadline: Some(Instant::now() + MS),
        ..Context::default()
    };
    let told = context.scope(layer.layer(next).oneshot(None)).await;
    assert_eq!(reason(told), Reason::DeadlineExceeded);
    let counted = registry.snapshot().instances.remove(0);
    assert_eq!(
        (counted.kind, counted.calls.rejected),
        ("propagate_deadline", 1)
    );

    drop(layer);

    assert_eq!(published(&registry, "rejected"), 1);
}

/// Returns how many more calls have ended so than when this was last asked.
fn published(registry: &Registry, outcome: &str) -> u64 {
    let recorder = DebuggingRecorder::new();
    with_local_recorder(&recorder, || registry.publish());
    let metrics = recorder.snapshotter().snapshot().into_vec();
    let counts = metrics.iter().map(|(key, _, _, value)| match value {
        DebugValue::Counter(count) if key.key().labels().any(|it| it.value() == outcome) => *count,
        _ => 0,
    });
    counts.sum()
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_has_counted_is_told_as_it_goes_and_what_outlives_it_later() {
    let mut stage = stage(|it| it);
    for _ in 0..2 {
        let mut call = stage.call(None);
        assert_pending!(call.poll());
        stage.reached().send_response("done");
        assert_ready!(call.poll()).unwrap();
    }
    let mut call = stage.call(None);
    assert_pending!(call.poll());
    let answer = stage.reached();
    let Stage {
        service,
        handle,
        registry,
        ..
    } = stage;
    drop((service, handle));

    assert_eq!(published(&registry, "success"), 2);

    answer.send_response("done");
    assert_ready!(call.poll()).unwrap();
    drop(call);
    assert_eq!(published(&registry, "success"), 1);
}
