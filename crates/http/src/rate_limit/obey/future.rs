use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, fail_on_panic};

use super::going::Going;
use super::waiting::{Waiting, end};

/// The future of a call to [`ObeyServer`](super::ObeyServer).
///
/// `F` is the future of the inner service `S`, which is called with a `Req`.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ObeyServerFuture<S, F, Req> {
    #[pin]
    state: State<S, F, Req>,
}

#[pin_project(project = StateProj)]
enum State<S, F, Req> {
    Called {
        #[pin]
        response: F,
        /// `None` once it has ended.
        going: Option<Going>,
    },
    /// All calls would be as large as those that wait.
    Waits(Box<Waiting<S, Req>>),
    /// `None` once it has been said.
    Refused(Option<BoxError>),
}

impl<S, F, Req> ObeyServerFuture<S, F, Req> {
    pub(super) fn called(response: F, going: Going) -> Self {
        Self {
            state: State::Called {
                response,
                going: Some(going),
            },
        }
    }

    pub(super) fn waiting(call: Waiting<S, Req>) -> Self {
        Self {
            state: State::Waits(Box::new(call)),
        }
    }

    pub(super) const fn refused(refusal: BoxError) -> Self {
        Self {
            state: State::Refused(Some(refusal)),
        }
    }
}

impl<S, F, Req, R> Future for ObeyServerFuture<S, F, Req>
where
    S: Service<Req, Response = Response<R>, Future = F>,
    F: Future<Output = Result<Response<R>, S::Error>>,
    S::Error: Into<BoxError>,
{
    type Output = Result<Response<R>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Called { response, going } => {
                    let result = ready!(fail_on_panic(going, || response.poll(cx)));
                    return Poll::Ready(answered(result.map_err(Into::into), going.take()));
                }
                StateProj::Waits(call) => {
                    let called = ready!(call.poll_call(cx));
                    state.set(match called {
                        Ok((response, going)) => State::Called {
                            response,
                            going: Some(going),
                        },
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

fn answered<R>(
    result: Result<Response<R>, BoxError>,
    going: Option<Going>,
) -> Result<Response<R>, BoxError> {
    match (&result, going) {
        (Ok(response), Some(going)) => going.answered(response),
        (Err(error), going) => end(going, &**error),
        (Ok(_), None) => {}
    }
    result
}

impl<S, F, Req> fmt::Debug for ObeyServerFuture<S, F, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObeyServerFuture").finish_non_exhaustive()
    }
}
