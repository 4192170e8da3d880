use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish, Tracked};

use super::call::IsolateCall;
use super::door::Door;
use super::job::Work;
use super::run::Run;
use super::turn::Turn;
use crate::slots::Permit;

/// A call that is made.
pub(super) type Called<F, Res, C, N> = Tracked<Run<F, Res>, IsolateCall, C, N>;

/// Makes a call elsewhere.
pub(super) fn send<S, C, N, Req>(
    permit: Permit<Door>,
    work: Work<S, Req>,
    classify: C,
    finish: N,
) -> Called<S::Future, S::Response, C, N>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
{
    let call = IsolateCall::new(Arc::clone(permit.entrance().counts()));
    Tracked::new(call, classify, finish, || Run::There(work.send(permit)))
}

/// A call that waits, with all that it takes to make it later.
#[pin_project]
pub(super) struct Waiting<S, C, N, Req> {
    #[pin]
    turn: Turn,
    /// `None` once it is sent.
    call: Option<(Work<S, Req>, C, N)>,
}

impl<S, C, N, Req> Waiting<S, C, N, Req> {
    pub(super) const fn new(turn: Turn, work: Work<S, Req>, classify: C, finish: N) -> Self {
        Self {
            turn,
            call: Some((work, classify, finish)),
        }
    }
}

/// Makes the call when its turn has come.
impl<S, C, N, Req> Future for Waiting<S, C, N, Req>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
    C: Classify<S::Response>,
    N: Finish<S::Response, C>,
{
    type Output = Result<Called<S::Future, S::Response, C, N>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let permit = ready!(this.turn.poll(cx))?;
        let Some((work, classify, finish)) = this.call.take() else {
            unreachable!("a call is made once");
        };
        Poll::Ready(Ok(send(permit, work, classify, finish)))
    }
}
