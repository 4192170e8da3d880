use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish, Note, QuotaStatus};

use super::waiting::Waiting;
use crate::Penalty;
use crate::call::RateLimitCall;
use crate::front::Called;

/// The future of a call to [`Pace`](crate::Pace).
///
/// `F` is the future of the inner service `S`, which is called with a `Req`.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct PacedFuture<S, F, C, N, P: Penalty, T, Req> {
    #[pin]
    state: State<S, F, C, N, P, T, Req>,
}

#[allow(
    clippy::type_complexity,
    reason = "each of them is a type of the user's"
)]
#[pin_project(project = StateProj)]
enum State<S, F, C, N, P: Penalty, T, Req> {
    Called(#[pin] Called<F, C, N, P, T>),
    /// All calls would be as large as those that wait.
    Waits(Pin<Box<Waiting<S, C, N, P, T, Req>>>),
    /// `None` once it has been said.
    Refused(Option<BoxError>),
}

impl<S, F, C, N, P: Penalty, T, Req> PacedFuture<S, F, C, N, P, T, Req> {
    #[inline]
    pub(super) const fn called(call: Called<F, C, N, P, T>) -> Self {
        Self {
            state: State::Called(call),
        }
    }

    pub(super) fn waiting(call: Waiting<S, C, N, P, T, Req>) -> Self {
        Self {
            state: State::Waits(Box::pin(call)),
        }
    }

    pub(super) const fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }
}

impl<S, F, C, N, P, T, Req> Future for PacedFuture<S, F, C, N, P, T, Req>
where
    S: Service<Req, Future = F>,
    F: Future<Output = Result<S::Response, S::Error>>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    P: Penalty,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    type Output = Result<N::Response<RateLimitCall<P>>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Called(call) => return call.poll(cx),
                StateProj::Waits(call) => {
                    let called = ready!(call.as_mut().poll_call(cx));
                    state.set(match called {
                        Ok(call) => State::Called(call),
                        Err(error) => State::Refused(Some(error)),
                    });
                }
                StateProj::Refused(refusal) => {
                    let refusal = refusal.take().expect("a call is refused only once");
                    return Poll::Ready(Err(refusal));
                }
            }
        }
    }
}

impl<S, F, C, N, P: Penalty, T, Req> fmt::Debug for PacedFuture<S, F, C, N, P, T, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PacedFuture").finish_non_exhaustive()
    }
}
