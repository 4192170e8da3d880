use std::fmt;
use std::sync::Arc;
use std::task::{self, Poll};

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{BoxError, Context, Mode, SaysExceeded, Undeclared, WriteDeadline};

use super::departure::Departure;
use super::future::PropagateDeadlineFuture;
use super::shared::Shared;
use super::told::Told;

/// Tells the inner service how long the caller waits.
///
/// Made by [`PropagateDeadlineLayer`](crate::PropagateDeadlineLayer).
pub struct PropagateDeadline<S, D = Undeclared> {
    inner: S,
    shared: Arc<Shared>,
    deadlines: D,
}

impl<S, D> PropagateDeadline<S, D> {
    pub(super) const fn new(inner: S, shared: Arc<Shared>, deadlines: D) -> Self {
        Self {
            inner,
            shared,
            deadlines,
        }
    }

    /// Writes on a request how long its caller waits, or refuses it. Returns what to make of an
    /// answer that says that this time is over.
    #[inline]
    fn tell<Req>(&self, request: &mut Req) -> Result<Option<Told<D>>, BoxError>
    where
        D: WriteDeadline<Req> + Clone,
    {
        let config = self.shared.config();
        if config.mode == Mode::Off {
            return Ok(None);
        }
        let deadline = Context::with(|context| context?.deadline);
        let departure = config.depart(deadline, Instant::now);
        let over = match departure {
            Departure::TooLate => return self.shared.refuse(config.mode).map(|()| None),
            Departure::Unbounded => None,
            Departure::Within { left, over } => {
                let is_enough = match config.mode {
                    Mode::Shadow => self.deadlines.is_enough(request, left),
                    Mode::Enforce | Mode::Off => self.deadlines.set_time_left(request, left),
                };
                if !is_enough {
                    return self.shared.refuse(config.mode).map(|()| None);
                }
                over
            }
        };
        if config.mode == Mode::Shadow {
            return Ok(None);
        }
        if config.chain
            && let Some(hops) = Context::with(|context| context?.hops.clone())
        {
            let chain = hops.passed_on(Instant::now());
            self.deadlines.set_hops(request, &chain);
        }
        Ok(over.map(|over| Told::new(over, self.deadlines.clone(), self.shared.way())))
    }
}

impl<S, D, Req> Service<Req> for PropagateDeadline<S, D>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    D: WriteDeadline<Req> + SaysExceeded<S::Response> + Clone,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = PropagateDeadlineFuture<S::Future, D>;

    #[inline]
    fn poll_ready(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    #[inline]
    fn call(&mut self, mut request: Req) -> Self::Future {
        match self.tell(&mut request) {
            Ok(told) => PropagateDeadlineFuture::called(self.inner.call(request), told),
            Err(refusal) => PropagateDeadlineFuture::refused(refusal),
        }
    }
}

impl<S: Clone, D: Clone> Clone for PropagateDeadline<S, D> {
    fn clone(&self) -> Self {
        Self {
            inner: self.inner.clone(),
            shared: Arc::clone(&self.shared),
            deadlines: self.deadlines.clone(),
        }
    }
}

impl<S: fmt::Debug, D> fmt::Debug for PropagateDeadline<S, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PropagateDeadline")
            .field("inner", &self.inner)
            .field("shared", &self.shared)
            .finish_non_exhaustive()
    }
}
