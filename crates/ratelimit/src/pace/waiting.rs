use std::pin::Pin;
use std::task::{Context, Poll, ready};

use pin_project::pin_project;
use tokio::sync::futures::OwnedNotified;
use tokio::time::{Sleep, sleep_until};
use tower_service::Service;
use watertight_core::{
    BoxError, Call, Classify, Finish, Note, QuotaStatus, Tracked, fail_on_panic, judge,
};

use super::booking::Booking;
use crate::Penalty;
use crate::call::RateLimitCall;
use crate::front::Called;
use crate::noting::Noting;

/// A call that waits, with all that it takes to make it later.
///
/// It took a clone of the service along. That is driven to readiness when its turn has come, and
/// not before: a queue would hoard what is reserved below.
#[pin_project]
pub(super) struct Waiting<S, C, N, P: Penalty, T, Req> {
    #[pin]
    timer: Sleep,
    /// Is ready when the limits have changed.
    #[pin]
    change: Option<OwnedNotified>,
    /// `None` once the turn has come.
    booking: Option<Booking<P>>,
    /// `None` before.
    call: Option<RateLimitCall<P>>,
    inner: S,
    /// `None` once it is sent.
    request: Option<Req>,
    classify: C,
    finish: Noting<N, T>,
}

impl<S, C, N, P: Penalty, T, Req> Waiting<S, C, N, P, T, Req> {
    pub(super) fn new(
        booking: Booking<P>,
        inner: S,
        request: Req,
        (classify, finish): (C, Noting<N, T>),
    ) -> Self {
        Self {
            change: booking.change(),
            timer: sleep_until(booking.begins_at()),
            booking: Some(booking),
            call: None,
            inner,
            request: Some(request),
            classify,
            finish,
        }
    }
}

impl<S, C, N, P, T, Req> Waiting<S, C, N, P, T, Req>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
    P: Penalty,
    T: Note<S::Response, QuotaStatus> + Clone,
{
    /// Calls the service when it is its turn, and the service is ready.
    #[allow(
        clippy::type_complexity,
        reason = "each of them is a type of the user's"
    )]
    pub(super) fn poll_call(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Called<S::Future, C, N, P, T>, BoxError>> {
        let mut this = self.project();
        if let Some(booking) = this.booking {
            // A change that comes once it has been looked for is waited for by then.
            while let Some(change) = this.change.as_mut().as_pin_mut()
                && change.poll(cx).is_ready()
            {
                this.change.set(booking.change());
            }
            if booking.follow() {
                this.timer.as_mut().reset(booking.begins_at());
            }
            ready!(this.timer.poll(cx));
            *this.call = this.booking.take().and_then(Booking::begin);
        }
        let ready = ready!(fail_on_panic(this.call, || this.inner.poll_ready(cx)));

        let (Some(call), Some(request)) = (this.call.take(), this.request.take()) else {
            unreachable!("a call is made once");
        };
        if let Err(error) = ready {
            let error = error.into();
            call.end(judge(this.classify, Err(&*error)));
            return Poll::Ready(Err(error));
        }
        let (classify, finish) = (this.classify.clone(), this.finish.clone());
        let inner = this.inner;
        let start = || inner.call(request);
        Poll::Ready(Ok(Tracked::new(call, classify, finish, start)))
    }
}
