use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use pin_project::pin_project;
use watertight_core::{BoxError, RetriesExhausted};

use super::answer::{Style, answer};
use super::body::AnswerBody;
use super::covers::Covers;
use crate::protocol::Protocol;

/// The future of a call to [`Respond`](super::Respond).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<F, T> {
    #[pin]
    state: State<F>,
    reply: Reply<T>,
}

/// How the call is answered if it fails.
pub(super) struct Reply<T> {
    pub(super) protocol: Protocol,
    pub(super) style: Style,
    pub(super) covers: T,
}

impl<F, T> ResponseFuture<F, T> {
    pub(super) fn called(response: F, reply: Reply<T>) -> Self {
        Self {
            state: State::Called(response),
            reply,
        }
    }

    pub(super) fn failed(error: BoxError, reply: Reply<T>) -> Self {
        Self {
            state: State::Failed(Some(error)),
            reply,
        }
    }
}

impl<F, T, B, E> Future for ResponseFuture<F, T>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<BoxError>,
    T: Covers,
{
    type Output = Result<Response<AnswerBody<B>>, T::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let reply = this.reply;
        let error = match this.state.project() {
            Projected::Called(response) => {
                match ready!(RetriesExhausted::watch(|| response.poll(cx))) {
                    Ok(response) => return Poll::Ready(Ok(response.map(AnswerBody::Inner))),
                    Err(error) => reply.covers.cover(error.into())?,
                }
            }
            Projected::Failed(error) => error
                .take()
                .expect("a future that has completed is not polled again"),
        };
        let answer = answer(error, reply.protocol, reply.style);
        Poll::Ready(Ok(answer.map(AnswerBody::Own)))
    }
}

impl<F, T> fmt::Debug for ResponseFuture<F, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}

#[pin_project(project = Projected)]
enum State<F> {
    Called(#[pin] F),
    /// The inner service was not ready, and was not called. `None` once that is answered.
    Failed(Option<BoxError>),
}
