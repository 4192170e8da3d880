use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as TaskContext, Poll};
use std::time::Duration;

use tokio::time::Instant;
use tokio_test::task::{Spawn, spawn};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok};
use tower::{BoxError, Layer, Service};
use tower_test::mock::{self, Mock, SendResponse};
use watertight_core::{Context, ErrorsAreFailures, Reason, Rejection};
use watertight_metrics::{InstanceSnapshot, Registry};
use watertight_timeout::{
    AsConfigured, ResponseFuture, Timeout, TimeoutBuilder, TimeoutHandle, TimeoutLayer, TimeoutOf,
};

pub(crate) const MS: Duration = Duration::from_millis(1);

/// After what time a call is ended, unless a test says otherwise.
pub(crate) const LIMIT: Duration = Duration::from_millis(100);

/// A timeout around a backend that answers when a test says so.
pub(crate) struct Stage<T = AsConfigured> {
    pub(crate) service: Timeout<Backend, ErrorsAreFailures, T>,
    pub(crate) backend: Backend,
    pub(crate) mock: mock::Handle<&'static str, &'static str>,
    pub(crate) timeout: TimeoutHandle,
    pub(crate) registry: Registry,
}

/// A mock that knows how many of its calls are alive.
#[derive(Clone)]
pub(crate) struct Backend {
    mock: Mock<&'static str, &'static str>,
    alive: Arc<()>,
}

impl Backend {
    pub(crate) fn alive(&self) -> usize {
        Arc::weak_count(&self.alive)
    }
}

impl Service<&'static str> for Backend {
    type Response = &'static str;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<&'static str, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut TaskContext<'_>) -> Poll<Result<(), BoxError>> {
        self.mock.poll_ready(cx)
    }

    fn call(&mut self, request: &'static str) -> Self::Future {
        let response = self.mock.call(request);
        let alive = Arc::downgrade(&self.alive);
        Box::pin(async move {
            let result = response.await;
            drop(alive);
            result
        })
    }
}

pub(crate) type Call =
    Spawn<ResponseFuture<<Backend as Service<&'static str>>::Future, ErrorsAreFailures>>;

/// A stage whose calls are ended after [`LIMIT`].
pub(crate) fn stage() -> Stage {
    stage_of(|it| it)
}

pub(crate) fn stage_of<T: Clone>(
    settings: impl FnOnce(
        TimeoutBuilder,
    ) -> TimeoutBuilder<watertight_timeout::Fixed, ErrorsAreFailures, T>,
) -> Stage<T> {
    let registry = Registry::new();
    let builder = TimeoutLayer::builder("payments")
        .limit(LIMIT)
        .registry(&registry);
    let layer = settings(builder).build();
    let (mock, handle) = mock::pair();
    let backend = Backend {
        mock,
        alive: Arc::new(()),
    };
    Stage {
        service: layer.layer(backend.clone()),
        backend,
        mock: handle,
        timeout: layer.handle(),
        registry,
    }
}

impl<T: TimeoutOf<&'static str> + Clone> Stage<T> {
    /// Makes a call, which is not polled yet.
    pub(crate) fn make(&mut self, request: &'static str) -> Call {
        self.mock.allow(1_000);
        assert_ready_ok!(spawn(()).enter(|cx, _| self.service.poll_ready(cx)));
        spawn(self.service.call(request))
    }

    /// Makes a call that reaches the backend, and returns it with the means to answer.
    pub(crate) fn start(&mut self, request: &'static str) -> (Call, SendResponse<&'static str>) {
        let mut call = self.make(request);
        assert_pending!(call.poll());
        (call, self.asked())
    }

    /// Makes a call that has this long, by the context of its caller.
    pub(crate) fn start_within(&mut self, left: Duration) -> (Call, SendResponse<&'static str>) {
        let context = Context {
            deadline: Some(Instant::now() + left),
            ..Context::default()
        };
        context.enter(|| self.start("pay"))
    }

    /// Returns the means to answer the call that the backend has got.
    pub(crate) fn asked(&mut self) -> SendResponse<&'static str> {
        let request = spawn(self.mock.next_request()).poll();
        assert_ready!(request).unwrap().1
    }

    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.remove(0)
    }
}

/// Returns why a call has failed that ends at this poll.
pub(crate) fn reason(call: &mut Call) -> Reason {
    let error = assert_ready!(call.poll()).unwrap_err();
    Rejection::find(&*error).unwrap().reason()
}
