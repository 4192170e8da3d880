use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use tower::{BoxError, Service};
use watertight_contract::{Probe, ProbeFuture, Request, Response};
use watertight_core::{Name, Reason, Rejection};

use super::future::ResponseFuture;
use super::permit::{Limit, Permit};
use super::{Fault, LIMIT};

#[derive(Debug)]
pub(crate) struct Faulty {
    inner: Probe,
    fault: Fault,
    limit: Arc<Limit>,
    ready: bool,
    reserved: Option<Permit>,
}

impl Faulty {
    pub(crate) fn new(inner: Probe, fault: Fault, limit: Arc<Limit>) -> Self {
        Self {
            inner,
            fault,
            limit,
            ready: false,
            reserved: None,
        }
    }

    fn poll_inner_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self.fault {
            Fault::LosesReadinessWaker => self
                .inner
                .poll_ready(&mut Context::from_waker(Waker::noop())),
            Fault::SharesOneReadinessWaker => {
                let waker = self.limit.waker.for_last(cx.waker());
                self.inner.poll_ready(&mut Context::from_waker(&waker))
            }
            _ => self.inner.poll_ready(cx),
        }
    }

    fn take_permit(&mut self) -> Option<Permit> {
        let permit = self.reserved.take().or_else(|| self.limit.take());
        if permit.is_some() || self.fault != Fault::RefusesEverySecondCall {
            return permit;
        }
        let refused = self.limit.refused.fetch_add(1, Ordering::SeqCst);
        (refused % 2 == 1).then(Permit::none)
    }

    fn refusal(&self) -> BoxError {
        match self.fault {
            Fault::RefusesWithText => "full".into(),
            _ => Rejection::new(Reason::BulkheadFull, Name::new("faulty")).into(),
        }
    }

    fn call_inner(&mut self, request: Request) -> ProbeFuture {
        match self.fault {
            Fault::CallsAClone => self.inner.clone().call(request),
            Fault::CallsTwice => {
                let mut twin = self.inner.clone();
                let _ = twin.poll_ready(&mut Context::from_waker(Waker::noop()));
                drop(twin.call(request));
                self.inner.call(request)
            }
            Fault::ChangesRequest => self.inner.call(Request { id: request.id + 1 }),
            Fault::Allocates => {
                drop(black_box(Box::new(request)));
                self.inner.call(request)
            }
            _ => self.inner.call(request),
        }
    }
}

impl Service<Request> for Faulty {
    type Response = Response;
    type Error = BoxError;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        if matches!(self.fault, Fault::ClonesReadiness | Fault::StaysReady) && self.ready {
            return Poll::Ready(Ok(()));
        }
        if self.limit.broken.swap(false, Ordering::SeqCst) {
            return Poll::Ready(Err("broken before".into()));
        }
        let polled = self.poll_inner_ready(cx);
        match (self.fault, &polled) {
            (Fault::IgnoresPendingReadiness, Poll::Pending)
            | (Fault::EatsReadinessError, Poll::Ready(Err(_))) => return Poll::Ready(Ok(())),
            (Fault::WrapsReadinessError, Poll::Ready(Err(error))) => {
                return Poll::Ready(Err(format!("not ready: {error}").into()));
            }
            (Fault::RepeatsReadinessError, Poll::Ready(Err(_))) => {
                self.limit.broken.store(true, Ordering::SeqCst);
            }
            (Fault::WakesItselfInPollReady, Poll::Pending) => cx.waker().wake_by_ref(),
            (Fault::RetriesReadiness, Poll::Ready(Err(_)))
            | (Fault::SpinsInPollReady, Poll::Pending) => return self.inner.poll_ready(cx),
            (Fault::ReservesInPollReady | Fault::LosesReservations, Poll::Ready(Ok(())))
                if self.reserved.is_none() =>
            {
                self.reserved = self.limit.take();
            }
            _ => {}
        }
        self.ready = matches!(polled, Poll::Ready(Ok(())));
        polled
    }

    fn call(&mut self, request: Request) -> ResponseFuture {
        if self.fault == Fault::StaysReady {
            let _ = self.poll_inner_ready(&mut Context::from_waker(Waker::noop()));
        } else {
            self.ready = false;
        }
        let Some(mut permit) = self.take_permit() else {
            return ResponseFuture::refused(self.refusal());
        };
        match self.fault {
            Fault::KeepsPermitWhenCallPanics => {
                permit.lose();
                let inner = self.call_inner(request);
                let permit = self.limit.regain();
                ResponseFuture::called(inner, permit, self.fault, &self.limit)
            }
            Fault::CatchesPanicInCall => {
                match catch_unwind(AssertUnwindSafe(|| self.call_inner(request))) {
                    Ok(inner) => ResponseFuture::called(inner, permit, self.fault, &self.limit),
                    Err(_) => ResponseFuture::refused("it panicked".into()),
                }
            }
            _ => {
                let inner = self.call_inner(request);
                ResponseFuture::called(inner, permit, self.fault, &self.limit)
            }
        }
    }
}

impl Clone for Faulty {
    fn clone(&self) -> Self {
        if self.fault == Fault::AllocatesInClone {
            drop(black_box(Box::new(LIMIT)));
        }
        Self {
            inner: self.inner.clone(),
            fault: self.fault,
            limit: match self.fault {
                Fault::LimitsClonesApart => self.limit.twin(),
                _ => Arc::clone(&self.limit),
            },
            ready: self.ready && self.fault == Fault::ClonesReadiness,
            reserved: None,
        }
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        if self.fault == Fault::LosesReservations
            && let Some(permit) = &mut self.reserved
        {
            permit.lose();
        }
    }
}
