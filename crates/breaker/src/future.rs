use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use watertight_core::{BoxError, Classify, Finish, Tracked};

use crate::BreakerCall;

/// The future of a call to [`Breaker`](crate::Breaker).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, C, N> {
    #[pin]
    state: State<F, C, N>,
}

impl<F, C, N> ResponseFuture<F, C, N> {
    #[inline]
    pub(crate) fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }

    #[inline]
    pub(crate) fn called(call: Tracked<F, BreakerCall, C, N>) -> Self {
        Self {
            state: State::Called(call),
        }
    }
}

impl<F, C, N, Res, E> Future for ResponseFuture<F, C, N>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Res>,
    N: Finish<Res, C>,
    E: Into<BoxError>,
{
    type Output = Result<N::Response<BreakerCall>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called(call) => call.poll(cx),
            StateProj::Refused(refusal) => {
                let refusal = refusal.take().expect("a call is refused only once");
                Poll::Ready(Err(refusal))
            }
        }
    }
}

impl<F, C, N> fmt::Debug for ResponseFuture<F, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[pin_project(project = StateProj)]
enum State<F, C, N> {
    /// `None` once it has been said.
    Refused(Option<BoxError>),
    Called(#[pin] Tracked<F, BreakerCall, C, N>),
}
