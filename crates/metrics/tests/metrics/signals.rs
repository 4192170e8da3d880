//! The signals of a service.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::advance;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{BoxError, Layer, Service, service_fn};
use tower_test::mock::{self, Mock, SendResponse};
use watertight_core::{DynError, FailureKind, Outcome};
use watertight_metrics::{
    CallCounts, InstanceSnapshot, Registry, Signals, SignalsHandle, SignalsLayer,
};

type Measured = Signals<Mock<(), u16>>;
type Future = <Measured as Service<()>>::Future;

struct Stage {
    service: Measured,
    backend: mock::Handle<(), u16>,
    signals: SignalsHandle,
}

fn stage() -> Stage {
    let layer = SignalsLayer::builder("orders")
        .registry(&Registry::new())
        .build();
    let (mock, backend) = mock::pair();
    Stage {
        service: layer.layer(mock),
        backend,
        signals: layer.handle(),
    }
}

impl Stage {
    fn start(&mut self) -> (Spawn<Future>, SendResponse<u16>) {
        let ready = spawn(()).enter(|cx, _| self.service.poll_ready(cx));
        assert_ready_ok!(ready);
        let mut future = spawn(self.service.call(()));
        assert_pending!(future.poll());
        let request = spawn(()).enter(|_, _| self.backend.poll_request());
        let ((), reply) = assert_ready!(request).unwrap();
        (future, reply)
    }

    fn seen(&self) -> InstanceSnapshot {
        self.signals.snapshot()
    }
}

#[tokio::test(start_paused = true)]
async fn counts_how_calls_end() {
    let mut stage = stage();

    let (mut good, reply) = stage.start();
    reply.send_response(200);
    assert_eq!(assert_ready_ok!(good.poll()), 200);
    for _ in 0..2 {
        let (mut bad, reply) = stage.start();
        reply.send_error("reset by peer");
        let error = assert_ready_err!(bad.poll());
        assert_eq!(error.to_string(), "reset by peer");
    }
    drop(stage.start());

    let expected = CallCounts {
        success: 1,
        failure: 2,
        cancelled: 1,
        ..CallCounts::default()
    };
    assert_eq!(stage.seen().calls, expected);
    assert_eq!(stage.signals.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn knows_how_many_are_in_flight() {
    let mut stage = stage();
    let mut clone = stage.service.clone();
    let calls = [stage.start(), stage.start()];
    assert_eq!(stage.seen().in_flight, Some(2));

    let ready = spawn(()).enter(|cx, _| clone.poll_ready(cx));
    assert_ready_ok!(ready);
    let unpolled = clone.call(());
    assert_eq!(stage.signals.in_flight(), 3);

    drop((calls, unpolled));
    assert_eq!(stage.seen().in_flight, Some(0));
    assert_eq!(stage.seen().calls.cancelled, 3);
}

#[tokio::test(start_paused = true)]
async fn measures_how_long_calls_take() {
    let mut stage = stage();
    for millis in [10, 10, 10, 500] {
        let (mut call, reply) = stage.start();
        advance(Duration::from_millis(millis)).await;
        reply.send_response(200);
        assert_ready_ok!(call.poll());
    }
    let (abandoned, _reply) = stage.start();
    advance(Duration::from_secs(9)).await;
    drop(abandoned);

    let seen = stage.seen();

    let near = |time: Option<Duration>, millis: f64| {
        let ratio = time.unwrap().as_secs_f64() * 1e3 / millis;
        assert!((0.95..=1.05).contains(&ratio), "{time:?} for {millis} ms");
    };
    let latency = seen.latency.unwrap();
    near(latency.p50, 10.0);
    near(latency.p99, 500.0);
    let durations = seen.durations.unwrap().0;
    let counts: Vec<_> = durations.iter().map(|(_, count)| *count).collect();
    assert_eq!(counts, [3, 1]);
    near(Some(durations[0].0), 10.0);
    near(Some(durations[1].0), 500.0);
}

#[tokio::test(start_paused = true)]
async fn a_classifier_says_what_a_failure_is() {
    let layer = SignalsLayer::builder("orders")
        .registry(&Registry::new())
        .classify_fn(|result: Result<&u16, &DynError>| match result {
            Ok(404) => Outcome::Ignored,
            Ok(200) => Outcome::Success,
            _ => Outcome::failure(FailureKind::Server),
        })
        .build();
    let mut service = layer.layer(service_fn(|status: u16| async move {
        Ok::<_, BoxError>(status)
    }));

    for status in [200, 404, 503, 503] {
        assert_eq!(service.call(status).await.unwrap(), status);
    }

    let calls = layer.handle().snapshot().calls;
    assert_eq!((calls.success, calls.ignored, calls.failure), (1, 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_a_failure_and_goes_on() {
    let layer = SignalsLayer::builder("orders")
        .registry(&Registry::new())
        .build();
    let mut service = layer.layer(service_fn(|()| {
        poll_fn(|_| -> Poll<Result<(), BoxError>> { panic!("inner") })
    }));

    let mut call = spawn(service.call(()));
    let panic = catch_unwind(AssertUnwindSafe(|| call.poll())).unwrap_err();
    drop(call);

    assert_eq!(panic.downcast_ref(), Some(&"inner"));
    let seen = layer.handle().snapshot();
    assert_eq!((seen.calls.failure, seen.calls.cancelled), (1, 0));
    assert_eq!(seen.in_flight, Some(0));
}

#[tokio::test(start_paused = true)]
async fn passes_what_the_inner_service_says_of_its_readiness() {
    let mut stage = stage();

    stage.backend.send_error("gone");

    let ready = spawn(()).enter(|cx, _| stage.service.poll_ready(cx));
    assert_eq!(assert_ready_err!(ready).to_string(), "gone");
    assert_eq!(stage.seen().calls, CallCounts::default());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_outlives_its_layer_is_told_to_recorders() {
    let registry = Registry::new();
    let recorder = DebuggingRecorder::new();
    let mut service = SignalsLayer::builder("orders")
        .registry(&registry)
        .build()
        .layer(service_fn(|()| pending::<Result<(), BoxError>>()));
    let call = service.call(());
    drop(service);
    assert_eq!(registry.snapshot().instances[0].in_flight, Some(1));

    drop(call);

    with_local_recorder(&recorder, || registry.publish());
    let told = recorder.snapshotter().snapshot().into_vec();
    let cancelled = told.into_iter().find_map(|(key, _, _, value)| {
        let mut labels = key.key().labels();
        labels
            .any(|label| label.value() == "cancelled")
            .then_some(value)
    });
    assert_eq!(cancelled, Some(DebugValue::Counter(1)));
    assert!(registry.snapshot().instances.is_empty());
}
