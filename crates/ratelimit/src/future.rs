use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use watertight_core::{BoxError, Classify, Finish, Note, QuotaStatus};

use crate::Penalty;
use crate::call::RateLimitCall;
use crate::front::Called;

/// The future of a call to [`RateLimit`](crate::RateLimit).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, C, N, P: Penalty, T> {
    #[pin]
    state: State<F, C, N, P, T>,
}

#[pin_project(project = StateProj)]
enum State<F, C, N, P: Penalty, T> {
    Called(#[pin] Called<F, C, N, P, T>),
    /// `None` once it has been said.
    Refused(Option<BoxError>),
}

impl<F, C, N, P: Penalty, T> ResponseFuture<F, C, N, P, T> {
    #[inline]
    pub(crate) const fn called(call: Called<F, C, N, P, T>) -> Self {
        Self {
            state: State::Called(call),
        }
    }

    pub(crate) const fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }
}

impl<F, C, N, P, T, Res, E> Future for ResponseFuture<F, C, N, P, T>
where
    F: Future<Output = Result<Res, E>>,
    C: Classify<Res>,
    N: Finish<Res, C>,
    P: Penalty,
    T: Note<Res, QuotaStatus>,
    E: Into<BoxError>,
{
    type Output = Result<N::Response<RateLimitCall<P>>, BoxError>;

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

impl<F, C, N, P: Penalty, T> fmt::Debug for ResponseFuture<F, C, N, P, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
