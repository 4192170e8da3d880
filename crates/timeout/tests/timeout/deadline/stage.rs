use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};
use std::time::Duration;

use tokio_test::task::{Spawn, spawn};
use tower::{BoxError, Layer, Service};
use tower_test::mock::{self, Mock, SendResponse};
use watertight_core::{Context, Reason, Rejection};
use watertight_metrics::{InstanceSnapshot, Registry};
use watertight_timeout::{
    Deadline, DeadlineBuilder, DeadlineFuture, DeadlineHandle, DeadlineLayer,
};

pub(crate) const S: Duration = Duration::from_secs(1);
pub(crate) const MS: Duration = Duration::from_millis(1);

/// How long calls may take, unless a test says otherwise.
pub(crate) const WITHIN: Duration = Duration::from_secs(10);

/// What its caller waits for.
pub(crate) type Left = Option<Duration>;

/// A mock that knows how many of its calls are alive, and in which contexts they were made.
#[derive(Clone)]
pub(crate) struct Backend {
    mock: Mock<Left, &'static str>,
    alive: Arc<()>,
    contexts: Arc<Mutex<Vec<Context>>>,
}

impl Backend {
    /// How many calls are alive.
    pub(crate) fn alive(&self) -> usize {
        Arc::weak_count(&self.alive)
    }

    /// The contexts of the calls, as they were made and as they were first polled.
    pub(crate) fn contexts(&self) -> Vec<Context> {
        self.contexts.lock().unwrap().clone()
    }
}

impl Service<Left> for Backend {
    type Response = &'static str;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<&'static str, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.mock.poll_ready(cx)
    }

    fn call(&mut self, request: Left) -> Self::Future {
        self.contexts.lock().unwrap().push(Context::current());
        let response = self.mock.call(request);
        let alive = Arc::downgrade(&self.alive);
        let contexts = Arc::clone(&self.contexts);
        Box::pin(async move {
            contexts.lock().unwrap().push(Context::current());
            let result = response.await;
            drop(alive);
            result
        })
    }
}

/// A layer around a backend that answers what a test says.
pub(crate) struct Stage {
    pub(crate) service: Deadline<Backend, Reads>,
    pub(crate) backend: Backend,
    pub(crate) mock: mock::Handle<Left, &'static str>,
    pub(crate) handle: DeadlineHandle,
    pub(crate) registry: Registry,
}

/// Takes a request for what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reads;

impl watertight_core::ReadDeadline<Left> for Reads {
    fn time_left(&self, request: &Left) -> Option<Duration> {
        *request
    }
}

impl<Res> watertight_core::ScopeResponse<Res> for Reads {
    type Response = Res;

    fn scope(&self, response: Res, _: Option<Context>, _: watertight_core::Name) -> Res {
        response
    }
}

pub(crate) type Call = Spawn<
    DeadlineFuture<
        <Backend as Service<Left>>::Future,
        Reads,
        watertight_core::ErrorsAreFailures,
        watertight_core::AtResponse,
    >,
>;

pub(crate) fn stage(settings: impl FnOnce(DeadlineBuilder) -> DeadlineBuilder) -> Stage {
    let registry = Registry::new();
    let builder = DeadlineLayer::builder("inbound", WITHIN).registry(&registry);
    let layer = settings(builder).deadlines(Reads).build();
    let (mock, handle) = mock::pair();
    let backend = Backend {
        mock,
        alive: Arc::new(()),
        contexts: Arc::default(),
    };
    Stage {
        service: layer.layer(backend.clone()),
        backend,
        mock: handle,
        handle: layer.handle(),
        registry,
    }
}

impl Stage {
    /// Makes a call whose caller waits for `left`.
    pub(crate) fn call(&mut self, left: Left) -> Call {
        let mut service = spawn(&mut self.service);
        let ready = service.enter(|cx, mut service| service.poll_ready(cx));
        assert!(ready.is_ready(), "{ready:?}");
        drop(service);
        spawn(self.service.call(left))
    }

    /// Returns a call that has reached the backend.
    pub(crate) fn reached(&mut self) -> SendResponse<&'static str> {
        let mut next = spawn(self.mock.next_request());
        match next.poll() {
            Poll::Ready(Some((_, answer))) => answer,
            _ => panic!("no call has reached the backend"),
        }
    }

    pub(crate) fn nothing_reached(&mut self) {
        let mut next = spawn(self.mock.next_request());
        assert!(next.poll().is_pending(), "a call has reached the backend");
    }

    pub(crate) fn counted(&self) -> InstanceSnapshot {
        let mut instances = self.registry.snapshot().instances;
        instances.pop().unwrap()
    }
}

/// Returns why a call was refused or ended.
pub(crate) fn reason<Res: std::fmt::Debug>(result: Result<Res, BoxError>) -> Reason {
    let error = result.unwrap_err();
    Rejection::find(&*error).unwrap().reason()
}
