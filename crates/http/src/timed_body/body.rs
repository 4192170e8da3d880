use std::fmt;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use pin_project::pin_project;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};
use watertight_core::{
    BoxError, Call, FailureKind, Name, Outcome, Reason, Rejection, fail_on_panic,
};

use super::call::BodyCall;
use crate::grpc_code::{GRPC_MESSAGE, GRPC_STATUS};
use crate::protocol::Protocol;

/// The body of a response that is cut off when it takes too long: as a whole, or from one frame to
/// the next.
///
/// The inner body is dropped then, and with it whatever it works on. The reader sees an error, a
/// [`Rejection`] for [`DeadlineExceeded`](Reason::DeadlineExceeded) or
/// [`TimedOut`](Reason::TimedOut); the reader of a gRPC response, whose host would otherwise reset
/// the stream, sees trailers with that status.
///
/// A frame that is there in time counts, whenever it is read, if the size of the body is known:
/// nobody works on it any more. A body that is still being made is asked for nothing after its
/// time, but a frame that comes in the same moment as the end of its time wins, whatever that end
/// is. A body without limits, or one that is never late, makes no timer.
#[pin_project]
pub struct TimedBody<B> {
    /// `None` once it has been cut off.
    #[pin]
    inner: Option<B>,
    limits: Option<Limits>,
    /// For the next frame, where it was not there at once.
    #[pin]
    timer: Option<Sleep>,
    /// Who counts how it ends.
    call: Option<BodyCall>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How long a frame may take.
    pub(crate) frame: Option<Duration>,
    /// When the body must have ended, and what it is cut off for otherwise.
    pub(crate) end: Option<(Instant, Reason)>,
    /// In whose name it is cut off.
    pub(crate) name: Name,
    /// Whether the reader looks for a status in trailers.
    pub(crate) has_trailers: bool,
}

impl<B: Body> TimedBody<B> {
    /// Cuts `inner` off at `deadline`.
    pub(crate) fn until(inner: B, deadline: Instant, name: Name, protocol: Protocol) -> Self {
        let limits = Limits {
            frame: None,
            end: Some((deadline, Reason::DeadlineExceeded)),
            name,
            has_trailers: protocol.has_trailers(),
        };
        Self::new(inner, Some(limits))
    }

    pub(crate) const fn untimed(inner: B) -> Self {
        Self::new(inner, None)
    }

    pub(crate) const fn new(inner: B, limits: Option<Limits>) -> Self {
        Self {
            inner: Some(inner),
            limits,
            timer: None,
            call: None,
        }
    }

    /// Lets `call` know how it ends.
    pub(super) fn of(mut self, call: Option<BodyCall>) -> Self {
        self.call = call;
        if self.inner.as_ref().is_none_or(Body::is_end_stream) {
            end(&mut self.call, Outcome::Success);
        }
        self
    }
}

impl Limits {
    /// Returns what the body is cut off for if nothing is there by now.
    fn are_over(&self, now: impl FnOnce() -> Instant) -> Option<Reason> {
        let (end, reason) = self.end?;
        (now() >= end).then_some(reason)
    }

    /// Returns what the body is cut off for before it is asked. What it has at the very end of its
    /// time is in time.
    fn have_passed(&self, now: impl FnOnce() -> Instant) -> Option<Reason> {
        let (end, reason) = self.end?;
        (now() > end).then_some(reason)
    }

    /// Returns when the body is cut off if no frame comes until then.
    fn next(&self, now: impl FnOnce() -> Instant) -> Option<Instant> {
        let frame = self.frame.and_then(|frame| now().checked_add(frame));
        let end = self.end.map(|(end, _)| end);
        frame.into_iter().chain(end).min()
    }

    /// What the reader gets in place of the rest.
    fn last<D>(&self, reason: Reason) -> Result<Frame<D>, BoxError> {
        if !self.has_trailers {
            return Err(Rejection::new(reason, self.name).into());
        }
        let mut trailers = HeaderMap::with_capacity(2);
        trailers.insert(GRPC_STATUS, reason.grpc_code().into());
        if let Ok(message) = HeaderValue::try_from(reason.to_string()) {
            trailers.insert(GRPC_MESSAGE, message);
        }
        Ok(Frame::trailers(trailers))
    }
}

impl<B> Body for TimedBody<B>
where
    B: Body,
    B::Error: Into<BoxError>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        // Who has waited since before the end sees what has come until the timer is looked at.
        if this.timer.is_none()
            && inner.size_hint().exact().is_none()
            && let Some(limits) = *this.limits
            && let Some(reason) = limits.have_passed(Instant::now)
        {
            if is_cut_off(this.call) {
                this.inner.set(None);
                return Poll::Ready(Some(limits.last(reason)));
            }
            *this.limits = None;
        }
        let polled = fail_on_panic(this.call, || inner.as_mut().poll_frame(cx));
        if let Poll::Ready(frame) = polled {
            this.timer.set(None);
            match &frame {
                Some(Ok(frame)) if !frame.is_trailers() && !inner.is_end_stream() => {}
                Some(Ok(_)) | None => end(this.call, Outcome::Success),
                Some(Err(_)) => end(this.call, Outcome::failure(FailureKind::Other)),
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let Some(limits) = *this.limits else {
            return Poll::Pending;
        };
        if this.timer.is_none()
            && let Some(at) = limits.next(Instant::now)
        {
            this.timer.set(Some(sleep_until(at)));
        }
        let Some(timer) = this.timer.as_mut().as_pin_mut() else {
            return Poll::Pending;
        };
        // What is below may have used the cooperative budget of the task up, at every poll.
        ready!(pin!(unconstrained(timer)).poll(cx));
        if !is_cut_off(this.call) {
            *this.limits = None;
            this.timer.set(None);
            return Poll::Pending;
        }
        this.inner.set(None);
        let reason = limits.are_over(Instant::now).unwrap_or(Reason::TimedOut);
        Poll::Ready(Some(limits.last(reason)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) => inner.size_hint(),
            None => SizeHint::with_exact(0),
        }
    }
}

fn end(call: &mut Option<BodyCall>, outcome: Outcome) {
    if let Some(call) = call.take() {
        call.end(outcome);
    }
}

/// Whether being too slow is the end of a body. It is where nobody counts, and there is no shadow.
fn is_cut_off(call: &mut Option<BodyCall>) -> bool {
    call.as_mut().is_none_or(BodyCall::is_too_slow)
}

impl<B> fmt::Debug for TimedBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimedBody")
            .field("limits", &self.limits)
            .field("is_cut_off", &self.inner.is_none())
            .finish_non_exhaustive()
    }
}
