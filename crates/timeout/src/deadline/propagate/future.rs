use std::fmt;
use std::pin::Pin;
use std::task::{self, Poll, ready};

use pin_project::pin_project;
use watertight_core::{BoxError, SaysExceeded};

use super::told::Told;

/// The future of a call to [`PropagateDeadline`](crate::PropagateDeadline).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct PropagateDeadlineFuture<F, D> {
    #[pin]
    state: State<F, D>,
}

#[pin_project(project = StateProj)]
enum State<F, D> {
    /// `None` once it has been said.
    Refused(Option<BoxError>),
    Called {
        #[pin]
        call: F,
        /// `None` where no answer says anything of the caller's deadline.
        told: Option<Told<D>>,
    },
}

impl<F, D> PropagateDeadlineFuture<F, D> {
    #[inline]
    pub(super) const fn called(call: F, told: Option<Told<D>>) -> Self {
        Self {
            state: State::Called { call, told },
        }
    }

    pub(super) const fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }
}

impl<F, D, Res, E> Future for PropagateDeadlineFuture<F, D>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
    D: SaysExceeded<Res>,
{
    type Output = Result<Res, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut task::Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Called { call, told } => {
                let answer = ready!(call.poll(cx)).map_err(Into::into);
                Poll::Ready(match told {
                    Some(told) if told.is_exceeded(answer.as_ref().map_err(|error| &**error)) => {
                        Err(told.exceeded())
                    }
                    _ => answer,
                })
            }
            StateProj::Refused(refusal) => {
                let refusal = refusal.take().expect("a call is refused only once");
                Poll::Ready(Err(refusal))
            }
        }
    }
}

impl<F, D> fmt::Debug for PropagateDeadlineFuture<F, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropagateDeadlineFuture")
            .finish_non_exhaustive()
    }
}
