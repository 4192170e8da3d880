use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;
use tower::{BoxError, Service, ServiceExt};
use watertight_bulkhead::{IsolateBuilder, IsolateLayer};
use watertight_core::Rejection;
use watertight_metrics::Registry;

/// A layer that lets so many calls run at once, on threads.
pub(super) fn builder(limit: usize) -> IsolateBuilder {
    IsolateLayer::builder("images", limit).registry(&Registry::new())
}

/// One whose calls are tasks of the test's own runtime.
pub(super) fn builder_here(limit: usize) -> IsolateBuilder {
    builder(limit).runtime(Handle::current())
}

type Work<T> = Pin<Box<dyn Future<Output = Result<T, BoxError>> + Send>>;

/// A call to make: what is to happen at once, and returns what is to happen then.
pub(super) struct Job<T>(Box<dyn FnOnce() -> Work<T> + Send>);

pub(super) fn job<T, F>(start: impl FnOnce() -> F + Send + 'static) -> Job<T>
where
    F: Future<Output = Result<T, BoxError>> + Send + 'static,
{
    Job(Box::new(move || Box::pin(start())))
}

/// Does what it is asked to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Worker;

impl<T> Service<Job<T>> for Worker {
    type Response = T;
    type Error = BoxError;
    type Future = Work<T>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Job(start): Job<T>) -> Work<T> {
        start()
    }
}

/// Makes a ready service's call.
pub(super) async fn call<S, Req>(service: &S, request: Req) -> Result<S::Response, BoxError>
where
    S: Service<Req, Error = BoxError> + Clone,
{
    service.clone().ready().await?.call(request).await
}

pub(super) fn rejection(error: &BoxError) -> Rejection {
    Rejection::find(&**error).unwrap().clone()
}
