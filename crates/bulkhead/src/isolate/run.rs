use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use watertight_core::BoxError;

use super::job::Answer;

/// A call that runs.
#[pin_project(project = RunProj)]
pub(super) enum Run<F, Res> {
    /// In the task of its caller.
    Here(#[pin] F),
    /// Where the calls of its layer run.
    There(#[pin] Answer<Res>),
}

impl<F, Res, E> Future for Run<F, Res>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            RunProj::Here(future) => future.poll(cx).map_err(Into::into),
            RunProj::There(answer) => answer.poll(cx),
        }
    }
}
