use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Poll};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tower::{BoxError, Layer, Service, ServiceExt};
use watertight_core::{
    Always, Backoff, Budget, Classify, Context, DynError, ErrorsAreFailures, Failure, FailureKind,
    Outcome,
};
use watertight_metrics::{InstanceSnapshot, Registry};
use watertight_retry::{RetryBuilder, RetryHandle, RetryLayer};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What a backend does with one call.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answer {
    Says(Outcome),
    Breaks(&'static str),
    Hangs,
    Takes(Duration),
    Panics,
}

pub(crate) const GOOD: Answer = Answer::Says(Outcome::Success);
pub(crate) const BAD: Answer = Answer::Says(Outcome::failure(FailureKind::Server));

/// What a backend knows of one call.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Called {
    pub(crate) request: u32,
    pub(crate) after: Duration,
    pub(crate) attempt: u32,
}

/// A backend that answers as a test says, well once it has nothing more to say, and remembers how
/// it was called.
#[derive(Clone)]
pub(crate) struct Backend {
    start: Instant,
    answers: Arc<Mutex<VecDeque<Answer>>>,
    called: Arc<Mutex<Vec<Called>>>,
}

impl Backend {
    pub(crate) fn new(answers: impl IntoIterator<Item = Answer>) -> Self {
        Self {
            start: Instant::now(),
            answers: Arc::new(Mutex::new(answers.into_iter().collect())),
            called: Arc::default(),
        }
    }

    /// Says what to do with the next calls.
    pub(crate) fn answer(&self, answers: impl IntoIterator<Item = Answer>) {
        self.answers.lock().unwrap().extend(answers);
    }

    pub(crate) fn called(&self) -> Vec<Called> {
        self.called.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.called().len()
    }

    /// When the calls came, in milliseconds from the start.
    pub(crate) fn times(&self) -> Vec<u128> {
        let called = self.called();
        called.iter().map(|call| call.after.as_millis()).collect()
    }
}

impl Service<u32> for Backend {
    type Response = Outcome;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Outcome, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u32) -> Self::Future {
        self.called.lock().unwrap().push(Called {
            request,
            after: Instant::now() - self.start,
            attempt: Context::current().attempt,
        });
        let answer = self.answers.lock().unwrap().pop_front().unwrap_or(GOOD);
        Box::pin(async move {
            match answer {
                Answer::Says(outcome) => Ok(outcome),
                Answer::Breaks(why) => Err(why.into()),
                Answer::Hangs => std::future::pending().await,
                Answer::Takes(time) => {
                    sleep(time).await;
                    Ok(Outcome::Success)
                }
                Answer::Panics => panic!("the backend panics"),
            }
        })
    }
}

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

pub(crate) type Builder = RetryBuilder<AsSaid, Always>;
pub(crate) type Retry = watertight_retry::Retry<Backend, AsSaid, Always>;

/// A retry layer around a backend. It waits a second before each retry, and its budget is no limit,
/// unless a test says otherwise.
pub(crate) struct Stage {
    pub(crate) service: Retry,
    pub(crate) backend: Backend,
    pub(crate) retry: RetryHandle,
    pub(crate) registry: Registry,
}

pub(crate) fn builder() -> Builder {
    RetryLayer::builder("payments")
        .classify(AsSaid)
        .repeat(Always)
        .backoff(Backoff::constant(SECOND))
        .budget(Budget::unlimited())
}

pub(crate) fn stage<const N: usize>(
    answers: [Answer; N],
    settings: impl FnOnce(Builder) -> Builder,
) -> Stage {
    let registry = Registry::new();
    let layer = settings(builder()).registry(&registry).build();
    let backend = Backend::new(answers);
    Stage {
        service: layer.layer(backend.clone()),
        backend,
        retry: layer.handle(),
        registry,
    }
}

impl Stage {
    pub(crate) async fn call(&self, request: u32) -> Result<Outcome, BoxError> {
        self.service.clone().oneshot(request).await
    }

    /// Why calls were not retried.
    pub(crate) fn given_up(&self) -> Vec<(&'static str, u64)> {
        let given_up = self.retry.snapshot().given_up;
        given_up.into_iter().filter(|it| it.1 > 0).collect()
    }

    /// What the layer has counted.
    pub(crate) fn counted(&self) -> InstanceSnapshot {
        self.registry.snapshot().instances.pop().unwrap()
    }
}

pub(crate) fn failure(kind: FailureKind) -> Answer {
    Answer::Says(Outcome::failure(kind))
}

pub(crate) fn told(after: Duration) -> Answer {
    let failure = Failure::new(FailureKind::Overloaded).retry_after(Some(after));
    Answer::Says(failure.into())
}
