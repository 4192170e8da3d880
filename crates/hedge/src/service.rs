use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{BoxError, Classify, ErrorsAreFailures, Mode, Repeat, Undecided};

use crate::call::{HedgeCall, LATE};
use crate::hedges::Hedges;
use crate::plan::Plan;
use crate::shared::Shared;
use crate::{ResponseFuture, SameService, Target};

/// Sends a request again while the first attempt is still out, and takes the first good answer.
///
/// Made by [`HedgeLayer`](crate::HedgeLayer).
pub struct Hedge<S, C = ErrorsAreFailures, R = Undecided, T = SameService> {
    inner: S,
    shared: Arc<Shared>,
    classify: C,
    repeat: R,
    target: T,
}

impl<S, C, R, T> Hedge<S, C, R, T> {
    pub(crate) const fn new(
        inner: S,
        shared: Arc<Shared>,
        classify: C,
        repeat: R,
        target: T,
    ) -> Self {
        Self {
            inner,
            shared,
            classify,
            repeat,
            target,
        }
    }

    /// Returns the context of a call that may be hedged.
    #[inline]
    fn may_hedge(plan: Plan) -> Option<watertight_core::Context> {
        // Somebody further up repeats already: one extra attempt here for each of those would
        // multiply.
        (plan.hedges() > 0)
            .then(watertight_core::Context::current)
            .filter(|context| context.upstream_attempt == 0)
    }

    /// Makes the request that is sent first, and what it takes to send it again, if that is
    /// possible.
    #[inline]
    fn keep<Req>(&self, request: Req, may_hedge: bool) -> (R::Request, Option<R::Kept>)
    where
        R: Repeat<Req>,
    {
        if !may_hedge {
            return (self.repeat.once(request), None);
        }
        let (request, kept) = self.repeat.keep(request);
        // It may be kept only for the case that it never reached the service.
        (request, kept.filter(|kept| self.repeat.allows(kept, &LATE)))
    }
}

impl<S, C, R, T, Req> Service<Req> for Hedge<S, C, R, T>
where
    R: Repeat<Req> + Clone,
    S: Service<R::Request>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    T: Target<S>,
    T::Service: Service<R::Request, Response = S::Response>,
    <T::Service as Service<R::Request>>::Error: Into<BoxError>,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = ResponseFuture<
        S::Future,
        S::Response,
        C,
        T::Service,
        <T::Service as Service<R::Request>>::Future,
        R,
        R::Kept,
        Req,
    >;

    #[inline]
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, request: Req) -> Self::Future {
        let plan = self.shared.plan();
        if plan.mode() == Mode::Off {
            let primary = self.inner.call(self.repeat.once(request));
            return ResponseFuture::new(primary, self.classify.clone(), None, None);
        }
        let context = Self::may_hedge(plan);
        let (request, kept) = self.keep(request, context.is_some());
        let way = self.shared.way();
        let (call, primary) = HedgeCall::begin(way, plan, || self.inner.call(request));
        // All that is large is made here, where it is to stay.
        let hedges = kept.zip(context).map(|(kept, context)| {
            let target = (plan.mode() == Mode::Enforce).then(|| self.target.service(&self.inner));
            Hedges::new(plan.hedges(), context, self.repeat.clone(), kept, target)
        });
        ResponseFuture::new(primary, self.classify.clone(), Some(call), hedges)
    }
}

impl<S: Clone, C: Clone, R: Clone, T: Clone> Clone for Hedge<S, C, R, T> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            classify: self.classify.clone(),
            repeat: self.repeat.clone(),
            target: self.target.clone(),
        }
    }
}

impl<S: fmt::Debug, C, R, T> fmt::Debug for Hedge<S, C, R, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hedge")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
