use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish};

use super::call::IsolateCall;
use super::waiting::{Called, Waiting};

/// The future of a call to [`Isolate`](crate::Isolate).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct IsolateFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    #[pin]
    state: State<S, C, N, Req>,
}

#[pin_project(project = StateProj)]
enum State<S, C, N, Req>
where
    S: Service<Req>,
{
    Called(#[pin] Called<S, C, N, Req>),
    /// Few calls wait, and all of them would be as large as those that do.
    Waits(Pin<Box<Waiting<S, C, N, Req>>>),
    /// `None` once it has been said.
    Refused(Option<BoxError>),
}

impl<S, C, N, Req> IsolateFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    pub(super) const fn called(call: Called<S, C, N, Req>) -> Self {
        Self {
            state: State::Called(call),
        }
    }

    pub(super) fn waiting(call: Waiting<S, C, N, Req>) -> Self {
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

impl<S, C, N, Req> Future for IsolateFuture<S, C, N, Req>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
    C: Classify<S::Response>,
    N: Finish<S::Response, C>,
{
    type Output = Result<N::Response<IsolateCall>, BoxError>;

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

impl<S, C, N, Req> fmt::Debug for IsolateFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolateFuture").finish_non_exhaustive()
    }
}
