use std::error::Error;
use std::fmt;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::BoxError;

use crate::control::{Readiness, Script, Shared};

/// What the suite sends through the layer: plain data, equal to nothing but itself.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Request {
    /// The number of the request, another one for each.
    pub id: u64,
}

/// What the inner service answers.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct Response {
    /// The number of the request that is answered.
    pub id: u64,
}

/// The error with which the inner service fails. Nobody else can make one, and none is cloned, so
/// one that comes up is the inner service's own.
#[derive(Debug)]
pub struct ProbeError(());

impl ProbeError {
    fn boxed() -> BoxError {
        Box::new(Self(()))
    }
}

impl fmt::Display for ProbeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the inner service failed")
    }
}

impl Error for ProbeError {}

/// The payload of the panics of the inner service.
#[derive(Debug)]
pub(crate) struct ProbePanic;

/// The inner service that the suite wraps in the layer.
///
/// It answers as the rule at hand wants it to, and notes all that the layer does with it. Like
/// the strictest of services, only the very instance that was polled ready is ready, for one call.
#[derive(Debug)]
pub struct Probe {
    shared: Arc<Shared>,
    ready: bool,
}

impl Probe {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            ready: false,
        }
    }
}

impl Clone for Probe {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.shared))
    }
}

impl Service<Request> for Probe {
    type Response = Response;
    type Error = BoxError;
    type Future = ProbeFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let mut state = self.shared.lock();
        state.counts.readiness_polls += 1;
        self.ready = state.readiness == Readiness::Ready;
        match state.readiness {
            Readiness::Ready => Poll::Ready(Ok(())),
            Readiness::Pending => {
                state.wait_for_readiness(cx.waker());
                Poll::Pending
            }
            Readiness::ErrorOnce => {
                state.readiness = Readiness::Ready;
                Poll::Ready(Err(ProbeError::boxed()))
            }
        }
    }

    fn call(&mut self, request: Request) -> ProbeFuture {
        let mut state = self.shared.lock();
        state.request = Some(request);
        state.counts.calls += 1;
        if !self.ready {
            state.counts.unready_calls += 1;
        }
        self.ready = false;
        if state.script == Script::PanicInCall {
            drop(state);
            // Not `panic!`: the hook would print what is meant to happen.
            resume_unwind(Box::new(ProbePanic));
        }
        state.counts.live += 1;
        ProbeFuture {
            shared: Arc::clone(&self.shared),
            request,
            call: state.counts.calls,
            ended: false,
        }
    }
}

/// The future of a call to [`Probe`].
#[derive(Debug)]
#[must_use = "futures do nothing unless polled"]
pub struct ProbeFuture {
    shared: Arc<Shared>,
    request: Request,
    call: u64,
    ended: bool,
}

impl Future for ProbeFuture {
    type Output = Result<Response, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut state = this.shared.lock();
        if this.ended {
            state.counts.polls_after_end += 1;
            return Poll::Pending;
        }
        state.counts.polls += 1;
        this.ended = true;
        match state.script {
            Script::Respond => Poll::Ready(Ok(Response {
                id: this.request.id,
            })),
            Script::Fail => Poll::Ready(Err(ProbeError::boxed())),
            Script::PanicInPoll => {
                drop(state);
                resume_unwind(Box::new(ProbePanic));
            }
            Script::Wait | Script::PanicInCall => {
                this.ended = false;
                state.wait_for_answer(this.call, cx.waker());
                Poll::Pending
            }
        }
    }
}

impl Drop for ProbeFuture {
    fn drop(&mut self) {
        self.shared.lock().forget_call(self.call);
    }
}
