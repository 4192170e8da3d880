use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{BoxError, KeyBy, Mode, fail_on_panic};

use super::ByHost;
use super::future::ObeyServerFuture;
use super::going::Going;
use super::server::Arrival;
use super::shared::Shared;
use super::waiting::Waiting;

/// Calls servers as they ask for it. Made by [`ObeyServerLayer`](super::ObeyServerLayer).
#[derive(Clone)]
pub struct ObeyServer<S, K = ByHost> {
    inner: S,
    shared: Arc<Shared>,
    key: K,
}

impl<S, K> ObeyServer<S, K> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>, key: K) -> Self {
        Self { inner, shared, key }
    }

    /// Makes a call that has started.
    fn make<Req>(&mut self, request: Req, going: Going) -> ObeyServerFuture<S, S::Future, Req>
    where
        S: Service<Req>,
    {
        let mut going = Some(going);
        let response = fail_on_panic(&mut going, || self.inner.call(request));
        ObeyServerFuture::called(response, going.unwrap_or_else(Going::unwatched))
    }
}

impl<S, K, B, R> Service<Request<B>> for ObeyServer<S, K>
where
    S: Service<Request<B>, Response = Response<R>> + Clone,
    S::Error: Into<BoxError>,
    K: KeyBy<Request<B>>,
{
    type Response = Response<R>;
    type Error = BoxError;
    type Future = ObeyServerFuture<S, S::Future, Request<B>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let core = Arc::clone(&self.shared.core);
        let mode = core.mode();
        if mode == Mode::Off {
            return self.make(request, Going::unwatched());
        }
        let server = core.servers.load().of(self.key.key(&request));
        let now = Instant::now();
        if mode == Mode::Shadow {
            let (ticket, would_wait) = server.pass(now);
            if would_wait {
                core.counts.refused(Mode::Shadow);
            }
            return self.make(request, Going::new(core, server, ticket));
        }
        let patience = core.patience(now);
        match server.arrive(patience, now) {
            Arrival::Starts(ticket) => self.make(request, Going::new(core, server, ticket)),
            Arrival::Refused(wait) => ObeyServerFuture::refused(core.refuse(wait)),
            Arrival::Waits(place) => {
                let (inner, way) = (self.inner.clone(), (core, server));
                let until = patience.until;
                ObeyServerFuture::waiting(Waiting::new(way, place, until, inner, request))
            }
        }
    }
}

impl<S: fmt::Debug, K> fmt::Debug for ObeyServer<S, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObeyServer")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
