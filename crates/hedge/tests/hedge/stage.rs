use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use metrics::with_local_recorder;
use metrics_util::debugging::{DebugValue, DebuggingRecorder};
use tokio::time::advance;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::{BoxError, Layer, Service};
use tower_test::mock::{self, Mock, SendResponse};
use watertight_core::{
    Always, Budget, Classify, Context, DynError, ErrorsAreFailures, Failure, FailureKind, Outcome,
};
use watertight_hedge::{Hedge, HedgeBuilder, HedgeHandle, HedgeLayer};
use watertight_metrics::{InstanceSnapshot, Registry};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// After what time a call is hedged, unless a test says otherwise.
pub(crate) const DELAY: Duration = Duration::from_millis(10);

/// A hedge around a backend that answers what a test says. Its answers are what they mean.
pub(crate) struct Stage {
    pub(crate) service: Hedge<Backend, AsSaid, Always>,
    pub(crate) backend: Backend,
    pub(crate) mock: mock::Handle<&'static str, Outcome>,
    pub(crate) hedge: HedgeHandle,
    pub(crate) registry: Registry,
}

pub(crate) type Builder = HedgeBuilder<AsSaid, Always>;
pub(crate) type Future = <Hedge<Backend, AsSaid, Always> as Service<&'static str>>::Future;

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

/// A mock that knows how many of its calls are alive, and in which contexts they were made.
#[derive(Clone)]
pub(crate) struct Backend {
    mock: Mock<&'static str, Outcome>,
    alive: Arc<()>,
    contexts: Arc<Mutex<Vec<Context>>>,
}

impl Backend {
    pub(crate) fn pair() -> (Self, mock::Handle<&'static str, Outcome>) {
        let (mock, handle) = mock::pair();
        let backend = Self {
            mock,
            alive: Arc::new(()),
            contexts: Arc::default(),
        };
        (backend, handle)
    }

    pub(crate) fn alive(&self) -> usize {
        // This backend, the one in the service, and any clones for hedges hold one each; the
        // futures hold a weak one.
        Arc::weak_count(&self.alive)
    }

    pub(crate) fn contexts(&self) -> Vec<Context> {
        self.contexts.lock().unwrap().clone()
    }
}

impl Service<&'static str> for Backend {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Pin<Box<dyn std::future::Future<Output = Result<Outcome, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        self.mock.poll_ready(cx)
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        self.contexts.lock().unwrap().push(Context::current());
        let response = self.mock.call(request);
        let alive = Arc::downgrade(&self.alive);
        Box::pin(async move {
            let result = response.await;
            drop(alive);
            result
        })
    }
}

/// A stage whose hedges are sent after [`DELAY`], and cost nothing.
pub(crate) fn stage(settings: impl FnOnce(Builder) -> Builder) -> Stage {
    let registry = Registry::new();
    let builder = HedgeLayer::builder("search")
        .classify(AsSaid)
        .repeat(Always)
        .after(DELAY)
        .budget(Budget::unlimited())
        .registry(&registry);
    let layer = settings(builder).build();
    let (backend, mock) = Backend::pair();
    Stage {
        service: layer.layer(backend.clone()),
        backend,
        mock,
        hedge: layer.handle(),
        registry,
    }
}

pub(crate) fn failure(kind: FailureKind) -> Outcome {
    Outcome::failure(kind)
}

/// A failure that is retryable.
pub(crate) fn broken() -> Outcome {
    failure(FailureKind::Server)
}

/// The same, told from others of its kind.
pub(crate) fn broken_with(weight: f32) -> Outcome {
    Failure::new(FailureKind::Server).weight(weight).into()
}

/// An attempt that waits for the backend.
pub(crate) struct Attempt {
    pub(crate) request: &'static str,
    reply: SendResponse<Outcome>,
}

impl Attempt {
    pub(crate) fn ends(self, outcome: Outcome) {
        self.reply.send_response(outcome);
    }

    pub(crate) fn succeeds(self) {
        self.ends(Outcome::Success);
    }

    pub(crate) fn fails(self) {
        self.ends(broken());
    }

    pub(crate) fn breaks(self) {
        self.reply.send_error("reset by peer");
    }
}

impl Stage {
    /// Makes a ready service's call.
    pub(crate) fn call(&mut self) -> Spawn<Future> {
        let ready = spawn(()).enter(|cx, _| self.service.poll_ready(cx));
        assert_ready_ok!(ready);
        spawn(self.service.call("query"))
    }

    /// Makes a call, and returns its first attempt.
    pub(crate) fn start(&mut self) -> (Spawn<Future>, Attempt) {
        let mut call = self.call();
        assert_pending!(call.poll());
        let primary = self.attempt();
        (call, primary)
    }

    /// Makes a call, and returns its first attempt and its first hedge.
    pub(crate) async fn start_hedged(&mut self) -> (Spawn<Future>, Attempt, Attempt) {
        let (mut call, primary) = self.start();
        advance(DELAY).await;
        assert_pending!(call.poll());
        let hedge = self.attempt();
        (call, primary, hedge)
    }

    /// Returns the next attempt that has reached the backend.
    pub(crate) fn attempt(&mut self) -> Attempt {
        let (request, reply) = assert_ready!(self.poll_backend(), "no attempt was made").unwrap();
        Attempt { request, reply }
    }

    /// Checks that no further attempt was made.
    pub(crate) fn no_attempt(&mut self) {
        assert!(self.poll_backend().is_pending(), "an attempt was made");
    }

    fn poll_backend(&mut self) -> Poll<Option<(&'static str, SendResponse<Outcome>)>> {
        spawn(()).enter(|_, _| self.mock.poll_request())
    }

    /// What the hedge has counted.
    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.pop().unwrap()
    }
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
