use std::task::Poll;
use std::time::Duration;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, assert_ready_ok};
use tower::{Layer, Service};
use tower_test::mock::{self, Mock, SendResponse};
use watertight_bulkhead::{
    Bulkhead, BulkheadBuilder, BulkheadHandle, BulkheadLayer, ByContext, Limit, Triage,
};
use watertight_core::{
    AtResponse, Classify, Context, DynError, ErrorsAreFailures, FailureKind, Outcome, Priority,
    Reason, Rejection, Unkeyed,
};
use watertight_metrics::{InstanceSnapshot, Registry};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// A bulkhead around a backend that answers what a test says. Its answers are what they mean.
pub(crate) struct Stage<A = ByContext> {
    pub(crate) service: Bulkhead<Backend, AsSaid, AtResponse, Unkeyed, A>,
    pub(crate) backend: mock::Handle<&'static str, Outcome>,
    pub(crate) bulkhead: BulkheadHandle,
    pub(crate) registry: Registry,
}

pub(crate) type Backend = Mock<&'static str, Outcome>;
pub(crate) type Builder<A = ByContext> = BulkheadBuilder<AsSaid, AtResponse, Unkeyed, A>;
pub(crate) type Future = <Bulkhead<Backend, AsSaid> as Service<&'static str>>::Future;

/// Takes an answer for what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsSaid;

impl Classify<Outcome> for AsSaid {
    fn classify(&self, result: Result<&Outcome, &DynError>) -> Outcome {
        match result {
            Ok(said) => *said,
            Err(error) => Classify::<()>::classify(&ErrorsAreFailures, Err(error)),
        }
    }
}

/// A bulkhead for so many calls.
pub(crate) fn stage<A: Clone>(
    limit: impl Into<Limit>,
    settings: impl FnOnce(Builder) -> Builder<A>,
) -> Stage<A> {
    let registry = Registry::new();
    let builder = BulkheadLayer::builder("payments", limit)
        .classify(AsSaid)
        .registry(&registry);
    let layer = settings(builder).build();
    let (mock, backend) = mock::pair();
    Stage {
        service: layer.layer(mock),
        backend,
        bulkhead: layer.handle(),
        registry,
    }
}

/// A call that waits for the backend.
pub(crate) struct InFlight {
    future: Spawn<Future>,
    reply: SendResponse<Outcome>,
}

impl InFlight {
    pub(crate) fn ends(mut self, outcome: Outcome) {
        self.reply.send_response(outcome);
        assert_ready_ok!(self.future.poll());
    }

    /// Ends with an error of the backend's, which comes out as it went in.
    pub(crate) fn breaks(mut self) {
        self.reply.send_error("reset by peer");
        let error = assert_ready_err!(self.future.poll());
        assert_eq!(error.to_string(), "reset by peer");
    }

    pub(crate) fn succeeds(self) {
        self.ends(Outcome::Success);
    }

    pub(crate) fn fails(self) {
        self.ends(Outcome::failure(FailureKind::Server));
    }
}

impl<A: Triage<&'static str> + Clone> Stage<A> {
    /// Makes a ready service's call.
    pub(crate) fn call(&mut self, request: &'static str) -> Spawn<Future> {
        let ready = spawn(()).enter(|cx, _| self.service.poll_ready(cx));
        assert_ready_ok!(ready);
        spawn(self.service.call(request))
    }

    /// Makes a call, which has to reach the backend.
    pub(crate) fn start(&mut self, request: &'static str) -> InFlight {
        let future = self.call(request);
        self.reaches_backend(future, request)
    }

    /// Makes so many calls, which have to reach the backend.
    pub(crate) fn start_all(&mut self, calls: usize) -> Vec<InFlight> {
        (0..calls).map(|_| self.start("pay")).collect()
    }

    /// Lets a call go on, which has to reach the backend.
    pub(crate) fn reaches_backend(
        &mut self,
        mut future: Spawn<Future>,
        request: &'static str,
    ) -> InFlight {
        assert_pending!(future.poll(), "the call of {request} ended");
        let Poll::Ready(Some((came, reply))) = self.poll_backend() else {
            panic!("the call of {request} did not reach the backend");
        };
        assert_eq!(came, request);
        InFlight { future, reply }
    }

    /// Makes a call that has to wait.
    pub(crate) fn wait(&mut self, request: &'static str) -> Spawn<Future> {
        let mut future = self.call(request);
        assert_pending!(future.poll(), "the call of {request} ended");
        assert!(self.poll_backend().is_pending(), "{request} did not wait");
        future
    }

    /// Makes a call that has to be refused.
    pub(crate) fn refusal(&mut self, request: &'static str) -> Rejection {
        let future = self.call(request);
        self.is_refused(future)
    }

    /// Lets a call go on that has to be refused.
    pub(crate) fn is_refused(&mut self, mut future: Spawn<Future>) -> Rejection {
        let error = assert_ready!(future.poll(), "the call was not refused").unwrap_err();
        assert!(self.poll_backend().is_pending());
        Rejection::find(&*error).unwrap().clone()
    }

    /// Makes a call that finds neither a slot nor a place in the queue.
    pub(crate) fn finds_it_full(&mut self, request: &'static str) {
        assert_eq!(self.refusal(request).reason(), Reason::BulkheadFull);
    }

    pub(crate) fn poll_backend(&mut self) -> Poll<Option<(&'static str, SendResponse<Outcome>)>> {
        spawn(()).enter(|_, _| self.backend.poll_request())
    }

    /// What the bulkhead has counted.
    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.pop().unwrap()
    }
}

/// Does something on behalf of a call of this priority.
pub(crate) fn with_priority<R>(priority: Priority, f: impl FnOnce() -> R) -> R {
    let context = Context {
        priority,
        ..Context::default()
    };
    context.enter(f)
}

/// Returns how many more successes the registry tells a recorder of.
pub(crate) fn successes_told(registry: &Registry, recorder: &DebuggingRecorder) -> Option<u64> {
    with_local_recorder(recorder, || registry.publish());
    let published = recorder.snapshotter().snapshot().into_vec();
    published.into_iter().find_map(|(key, _, _, value)| {
        let is_success = key.key().labels().any(|label| label.value() == "success");
        match value {
            DebugValue::Counter(count) if is_success => Some(count),
            _ => None,
        }
    })
}
