use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::thread;

use pin_project::pin_project;
use tokio::sync::oneshot::{self, Receiver, Sender};
use tower_service::Service;
use watertight_core::{BoxError, Name, Reason, Rejection};

use super::door::Door;
use super::origin::Origin;
use crate::slots::Permit;

/// What came of a call, or of what it panicked.
type Ended<Res> = thread::Result<Result<Res, BoxError>>;

/// A call that is to be made elsewhere.
pub(super) struct Work<S, Req> {
    service: S,
    request: Req,
    /// Whether the service was polled ready for this call.
    is_ready: bool,
    origin: Origin,
}

impl<S, Req> Work<S, Req> {
    /// Takes an instance that was polled ready.
    pub(super) fn of_ready(service: S, request: Req) -> Self {
        Self {
            service,
            request,
            is_ready: true,
            origin: Origin::here(),
        }
    }

    /// Takes an instance that is to be polled ready first.
    pub(super) fn of_clone(service: S, request: Req) -> Self {
        Self {
            is_ready: false,
            ..Self::of_ready(service, request)
        }
    }
}

impl<S, Req> Work<S, Req>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
{
    /// Makes the call where those of its layer run.
    pub(super) fn send(self, permit: Permit<Door>) -> Answer<S::Response> {
        let (reply, receiver) = oneshot::channel();
        let shared = Arc::clone(permit.entrance());
        let Self {
            service,
            request,
            is_ready,
            origin,
        } = self;
        shared.pool.run(Job {
            work: origin.carry(call(service, request, is_ready)),
            permit: Some(permit),
            reply: Some(reply),
        });
        Answer {
            receiver,
            name: shared.name(),
        }
    }
}

async fn call<S, Req>(mut service: S, request: Req, is_ready: bool) -> Result<S::Response, BoxError>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    if !is_ready {
        let ready = poll_fn(|cx| service.poll_ready(cx)).await;
        ready.map_err(Into::into)?;
    }
    service.call(request).await.map_err(Into::into)
}

/// A call, as it runs away from its caller.
#[pin_project]
struct Job<F, Res> {
    #[pin]
    work: F,
    permit: Option<Permit<Door>>,
    reply: Option<Sender<Ended<Res>>>,
}

impl<F, Res> Future for Job<F, Res>
where
    F: Future<Output = Result<Res, BoxError>>,
{
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.project();
        let Some(reply) = this.reply else {
            return Poll::Ready(());
        };
        if reply.poll_closed(cx).is_ready() {
            // The caller has gone.
            return Poll::Ready(());
        }
        // All that the call held is gone when it has ended: it is an async function.
        let polled = catch_unwind(AssertUnwindSafe(|| this.work.poll(cx)));
        let ended = match polled {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(result)) => Ok(result),
            Err(panic) => Err(panic),
        };
        // Whoever has the answer finds the place free.
        drop(this.permit.take());
        if let Some(reply) = this.reply.take() {
            let _ = reply.send(ended);
        }
        Poll::Ready(())
    }
}

/// What comes back of a call. If it is dropped, so is the call, at its next await.
pub(super) struct Answer<Res> {
    receiver: Receiver<Ended<Res>>,
    name: Name,
}

impl<Res> Future for Answer<Res> {
    type Output = Result<Res, BoxError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(match ready!(Pin::new(&mut self.receiver).poll(cx)) {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => resume_unwind(panic),
            Err(_) => Err(Rejection::new(Reason::NotReady, self.name).into()),
        })
    }
}
