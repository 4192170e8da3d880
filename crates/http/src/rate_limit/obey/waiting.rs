use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{BoxError, Call, DynError, ErrorsAreFailures, fail_on_panic, judge};

use super::allowance::Ticket;
use super::core::Core;
use super::going::Going;
use super::server::{Place, Server};

/// How a wait ends: with a call that has started, or with how long it would still have to wait.
type Turn = Pin<Box<dyn Future<Output = Result<Ticket, Duration>> + Send>>;

/// A call that waits for a server, with all that it takes to make it later.
///
/// It took a clone of the service along. That is driven to readiness when its turn has come, and
/// not before: a queue would hoard what is reserved below.
pub(super) struct Waiting<S, Req> {
    /// `None` once it is over.
    wait: Option<Wait>,
    /// `None` before.
    going: Option<Going>,
    inner: S,
    /// `None` once it is sent.
    request: Option<Req>,
}

/// A wait. Dropped, it is over.
struct Wait {
    turn: Turn,
    since: Instant,
    core: Arc<Core>,
    server: Arc<Server>,
}

impl Wait {
    fn new(core: Arc<Core>, server: Arc<Server>, place: Place, until: Instant) -> Self {
        core.counts.waits();
        Self {
            turn: Box::pin(place.turn(until)),
            since: Instant::now(),
            core,
            server,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Going, BoxError>> {
        let turn = ready!(self.turn.as_mut().poll(cx));
        Poll::Ready(match turn {
            Ok(ticket) => {
                let now = Instant::now();
                self.core.counts.waited(now - self.since, now);
                let (core, server) = (Arc::clone(&self.core), Arc::clone(&self.server));
                Ok(Going::new(core, server, ticket))
            }
            Err(wait) => Err(self.core.refuse(wait)),
        })
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.core.counts.waits_no_longer();
    }
}

impl<S, Req> Waiting<S, Req> {
    pub(super) fn new(
        (core, server): (Arc<Core>, Arc<Server>),
        place: Place,
        until: Instant,
        inner: S,
        request: Req,
    ) -> Self {
        Self {
            wait: Some(Wait::new(core, server, place, until)),
            going: None,
            inner,
            request: Some(request),
        }
    }
}

impl<S, Req> Waiting<S, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
{
    /// Calls the service when it is its turn, and the service is ready.
    pub(super) fn poll_call(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(S::Future, Going), BoxError>> {
        if let Some(wait) = &mut self.wait {
            let going = ready!(wait.poll(cx));
            self.wait = None;
            self.going = Some(going?);
        }
        let inner = &mut self.inner;
        let ready = ready!(fail_on_panic(&mut self.going, || inner.poll_ready(cx)));
        let Some(request) = self.request.take() else {
            unreachable!("a call is made once");
        };
        if let Err(error) = ready {
            let error = error.into();
            end(self.going.take(), &*error);
            return Poll::Ready(Err(error));
        }
        let response = fail_on_panic(&mut self.going, || inner.call(request));
        let going = self.going.take().unwrap_or_else(Going::unwatched);
        Poll::Ready(Ok((response, going)))
    }
}

/// Ends a call by an error.
pub(super) fn end(going: Option<Going>, error: &DynError) {
    if let Some(going) = going {
        going.end(judge(&ErrorsAreFailures, Err::<&(), _>(error)));
    }
}

impl<S, Req> fmt::Debug for Waiting<S, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Waiting").finish_non_exhaustive()
    }
}
