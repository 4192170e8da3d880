use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use tokio::task::{JoinHandle, spawn_blocking};
use tower::{BoxError, Layer, Service};

/// Makes each call on a blocking thread of tokio's, and nothing else.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpawnBlockingLayer;

/// Made by [`SpawnBlockingLayer`].
#[derive(Clone, Debug)]
pub(crate) struct SpawnBlocking<S> {
    inner: S,
}

impl<S> Layer<S> for SpawnBlockingLayer {
    type Service = SpawnBlocking<S>;

    fn layer(&self, inner: S) -> SpawnBlocking<S> {
        SpawnBlocking { inner }
    }
}

impl<S, Req> Service<Req> for SpawnBlocking<S>
where
    S: Service<Req, Error: Into<BoxError>, Response: Send> + Clone + Send + 'static,
    S::Response: 'static,
    Req: Send + 'static,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = Blocking<S::Response>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        let mut inner = self.inner.clone();
        Blocking(spawn_blocking(move || {
            let future = pin!(inner.call(request));
            match future.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => answer.map_err(Into::into),
                Poll::Pending => Err("a call that blocks is never pending".into()),
            }
        }))
    }
}

/// The future of [`SpawnBlocking`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub(crate) struct Blocking<Res>(JoinHandle<Result<Res, BoxError>>);

impl<Res> Future for Blocking<Res> {
    type Output = Result<Res, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer?)
    }
}
