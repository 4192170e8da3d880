use std::error::Error;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish, Note, QuotaStatus};

use super::Answer;
use super::waiting::Waiting;
use crate::Penalty;
use crate::call::RateLimitCall;
use crate::front::Called;

/// The future of a call to [`Stored`](super::Stored).
///
/// `F` is the future of the inner service `S`, which is called with a `Req`, and `A` that of the
/// store's answer.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct StoredFuture<S, F, A, C, N, P: Penalty, T, Req> {
    #[pin]
    state: State<S, F, A, C, N, P, T, Req>,
}

#[allow(
    clippy::large_enum_variant,
    reason = "all calls wait for a store, unless it has leases, and none is to be allocated"
)]
#[pin_project(project = StateProj)]
enum State<S, F, A, C, N, P: Penalty, T, Req> {
    Waits(#[pin] Waiting<S, A, C, N, P, T, Req>),
    Called(#[pin] Called<F, C, N, P, T>),
    /// `None` once it has been said.
    Refused(Option<BoxError>),
}

impl<S, F, A, C, N, P: Penalty, T, Req> StoredFuture<S, F, A, C, N, P, T, Req> {
    #[inline]
    pub(super) const fn called(call: Called<F, C, N, P, T>) -> Self {
        Self {
            state: State::Called(call),
        }
    }

    pub(super) const fn waiting(call: Waiting<S, A, C, N, P, T, Req>) -> Self {
        Self {
            state: State::Waits(call),
        }
    }

    pub(super) const fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }
}

impl<S, F, A, C, N, P, T, Req, E> Future for StoredFuture<S, F, A, C, N, P, T, Req>
where
    S: Service<Req, Future = F>,
    F: Future<Output = Result<S::Response, S::Error>>,
    S::Error: Into<BoxError>,
    A: Future<Output = Result<Answer, E>> + Send + Unpin + 'static,
    E: Error + Send + Sync + 'static,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    P: Penalty,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    type Output = Result<N::Response<RateLimitCall<P>>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Called(call) => return call.poll(cx),
                StateProj::Waits(call) => {
                    let called = ready!(call.poll_call(cx));
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

impl<S, F, A, C, N, P: Penalty, T, Req> fmt::Debug for StoredFuture<S, F, A, C, N, P, T, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredFuture").finish_non_exhaustive()
    }
}
