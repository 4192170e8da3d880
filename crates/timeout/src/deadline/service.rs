use std::fmt;
use std::sync::Arc;
use std::task::{self, Poll};

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{
    AtResponse, BoxError, Classify, Context, ErrorsAreFailures, Finish, Hops, Mode, ReadDeadline,
    ScopeResponse, Scoped, Tracked, Undeclared,
};

use super::arrival::Arrival;
use super::call::DeadlineCall;
use super::future::DeadlineFuture;
use super::shared::Shared;

/// Serves calls for as long as their callers wait.
///
/// Made by [`DeadlineLayer`](crate::DeadlineLayer).
pub struct Deadline<S, D = Undeclared, C = ErrorsAreFailures, N = AtResponse> {
    inner: S,
    shared: Arc<Shared>,
    deadlines: D,
    classify: C,
    finish: N,
}

impl<S, D, C, N> Deadline<S, D, C, N> {
    pub(super) const fn new(
        inner: S,
        shared: Arc<Shared>,
        deadlines: D,
        classify: C,
        finish: N,
    ) -> Self {
        Self {
            inner,
            shared,
            deadlines,
            classify,
            finish,
        }
    }

    /// Says in what context a call is served, or that it is not.
    #[inline]
    fn admit<Req>(
        &self,
        request: &mut Req,
        cuts_bodies_off: bool,
    ) -> Result<(DeadlineCall, Option<Context>), BoxError>
    where
        D: ReadDeadline<Req>,
    {
        let settings = self.shared.settings();
        let mode = settings.mode();
        if mode == Mode::Off {
            return Ok((DeadlineCall::unwatched(), None));
        }
        let (mut context, now) = (Context::current(), Instant::now());
        let left = self.deadlines.time_left(request);
        let deadline = match self.shared.arrive(&settings, left, context.deadline, now) {
            Arrival::InTime(deadline) => deadline,
            Arrival::Spared(deadline) => {
                if mode == Mode::Enforce {
                    self.deadlines.forget_time_left(request);
                }
                deadline
            }
            Arrival::Expired if mode == Mode::Enforce => return Err(self.shared.rejection()),
            // It has been counted, and is not to be counted again.
            Arrival::Expired => None,
        };
        let call = DeadlineCall::new(self.shared.way(), mode, deadline, cuts_bodies_off);
        if mode == Mode::Shadow {
            return Ok((call, None));
        }
        context.deadline = deadline;
        if let Some(hop) = settings.hop() {
            context.hops = Some(Hops::arrived(hop, self.deadlines.hops(request), now));
        }
        Ok((call, Some(context)))
    }
}

impl<S, D, C, N, Req> Service<Req> for Deadline<S, D, C, N>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    D: ReadDeadline<Req> + ScopeResponse<N::Response<DeadlineCall>> + Clone,
{
    type Response = D::Response;
    type Error = BoxError;
    type Future = DeadlineFuture<S::Future, D, C, N>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        let (call, context) = match self.admit(&mut request, D::CUTS_OFF) {
            Ok(admitted) => admitted,
            Err(refusal) => {
                return DeadlineFuture::refused(refusal, self.deadlines.clone());
            }
        };
        let scope = context.clone();
        let tracked = Tracked::new(
            call,
            self.classify.clone(),
            self.finish.clone(),
            || match scope {
                Some(context) => context.call(&mut self.inner, request),
                None => Scoped::unscoped(self.inner.call(request)),
            },
        );
        let name = watertight_metrics::Instance::name(&*self.shared);
        DeadlineFuture::called(tracked, context, name, self.deadlines.clone())
    }
}

impl<S: Clone, D: Clone, C: Clone, N: Clone> Clone for Deadline<S, D, C, N> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            deadlines: self.deadlines.clone(),
            classify: self.classify.clone(),
            finish: self.finish.clone(),
        }
    }
}

impl<S: fmt::Debug, D, C, N> fmt::Debug for Deadline<S, D, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
