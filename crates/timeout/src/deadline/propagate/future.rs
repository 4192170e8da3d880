use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll};

use pin_project::pin_project;
use watertight_core::BoxError;

/// The future of a call to [`PropagateDeadline`](crate::PropagateDeadline).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct PropagateDeadlineFuture<F> {
    #[pin]
    state: State<F>,
}

#[pin_project(project = StateProj)]
enum State<F> {
    /// `None` once it has been said.
    Refused(Option<BoxError>),
    Called(#[pin] F),
}

impl<F> PropagateDeadlineFuture<F> {
    #[inline]
    pub(super) const fn called(call: F) -> Self {
        Self {
            state: State::Called(call),
        }
    }

    pub(super) const fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }
}

impl<F, Res, E> Future for PropagateDeadlineFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called(call) => call.poll(cx).map_err(Into::into),
            StateProj::Refused(refusal) => {
                let refusal = refusal.take().expect("a call is refused only once");
                Poll::Ready(Err(refusal))
            }
        }
    }
}

impl<F> fmt::Debug for PropagateDeadlineFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropagateDeadlineFuture")
            .finish_non_exhaustive()
    }
}
