use std::task::{Context, Poll};
use std::time::Duration;

use recloser::{AnyError, AsyncRecloser, Error, Recloser, RecloserFuture};
use tower::{Layer, Service};

/// `recloser`, which has no layer of its own.
#[derive(Clone)]
pub(crate) struct RecloserLayer(AsyncRecloser);

impl RecloserLayer {
    /// Makes one with its default settings: 50 % of a ring of 100 calls.
    pub(crate) fn closed() -> Self {
        Self(Recloser::custom().build().into())
    }

    pub(crate) fn open() -> Self {
        // It is half open after 30 s otherwise, which is less than a measurement takes.
        let recloser = Recloser::custom()
            .open_wait(Duration::from_secs(3_600))
            .build();
        while !matches!(recloser.call(|| Err::<(), ()>(())), Err(Error::Rejected)) {}
        Self(recloser.into())
    }
}

impl<S> Layer<S> for RecloserLayer {
    type Service = Reclosed<S>;

    fn layer(&self, inner: S) -> Reclosed<S> {
        Reclosed {
            inner,
            recloser: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Reclosed<S> {
    inner: S,
    recloser: AsyncRecloser,
}

impl<S: Service<Req>, Req> Service<Req> for Reclosed<S> {
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = RecloserFuture<S::Future, AnyError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.recloser.call(self.inner.call(request))
    }
}
