use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use tower::Service;

/// The bare service: answers with the request.
///
/// Its future is ready at once or, with `LATER`, at the second poll. Then it leaves no waker, since
/// to wake would cost more than most rows: who calls it polls again.
#[derive(Clone, Copy, Debug)]
pub struct Echo<const LATER: bool>;

impl<const LATER: bool> Service<u64> for Echo<LATER> {
    type Response = u64;
    type Error = Infallible;
    type Future = Echoed<LATER>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: u64) -> Echoed<LATER> {
        Echoed {
            request,
            pending: LATER,
        }
    }
}

/// The future of [`Echo`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct Echoed<const LATER: bool> {
    request: u64,
    pending: bool,
}

impl<const LATER: bool> Future for Echoed<LATER> {
    type Output = Result<u64, Infallible>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        if LATER && self.pending {
            self.pending = false;
            return Poll::Pending;
        }
        Poll::Ready(Ok(self.request))
    }
}
