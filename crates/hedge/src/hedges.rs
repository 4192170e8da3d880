use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::Instant;
use tower_service::Service;
use watertight_core::{BoxError, Context, Repeat, Scoped};

use crate::call::HedgeCall;
use crate::counts::Count;
use crate::race::Race;

/// A hedge in flight. On the heap, as there is hardly ever one.
type InFlight<F> = Pin<Box<Scoped<F>>>;

/// The hedges of one call: those in flight, and all that it takes to send more.
pub(crate) struct Hedges<H, G, R, K, Req> {
    pub(crate) race: Race,
    /// That of the call: the future may be polled by somebody who has none.
    context: Context,
    /// `None` where hedges are only counted, and once there is none to be sent any more.
    source: Option<Source<H, R, K>>,
    in_flight: Vec<InFlight<G>>,
    of: PhantomData<fn(Req)>,
}

/// What hedges are made of.
struct Source<H, R, K> {
    service: H,
    repeat: R,
    kept: K,
}

/// What became of the sending of a hedge.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Sending {
    Sent,
    /// It would have been sent.
    Counted,
    /// It cannot be, and neither can any other.
    Stopped,
}

impl<H, G, R, K, Req, Res> Hedges<H, G, R, K, Req>
where
    H: Service<R::Request, Response = Res, Future = G>,
    H::Error: Into<BoxError>,
    G: Future<Output = Result<Res, H::Error>>,
    R: Repeat<Req, Kept = K>,
{
    /// Sends a hedge, once it is paid for and its service is ready.
    pub(crate) fn poll_send(
        &mut self,
        call: &mut HedgeCall,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<Sending> {
        if self.is_too_late(Instant::now) || !call.pays() {
            return Poll::Ready(Sending::Stopped);
        }
        let Some(source) = &mut self.source else {
            call.hedged(Count::SentInShadow);
            return Poll::Ready(Sending::Counted);
        };
        // An error that is the service's, and not of this request, is nothing to answer with.
        if ready!(source.service.poll_ready(cx)).is_err() {
            return Poll::Ready(Sending::Stopped);
        }
        let Some(request) = source.repeat.again(&source.kept) else {
            return Poll::Ready(Sending::Stopped);
        };
        let mut context = self.context.clone();
        context.attempt = context.attempt.saturating_add(self.race.sent() + 1);
        call.hedged(Count::Sent);
        let hedge = context.call(&mut source.service, request);
        self.in_flight.push(Box::pin(hedge));
        Poll::Ready(Sending::Sent)
    }

    /// Returns the answer of a hedge that has one, of those from the `first` on, and which it is.
    pub(crate) fn poll_answer(
        &mut self,
        first: usize,
        cx: &mut std::task::Context<'_>,
    ) -> Poll<(usize, Result<Res, BoxError>)> {
        for (at, hedge) in self.in_flight.iter_mut().enumerate().skip(first) {
            if let Poll::Ready(result) = hedge.as_mut().poll(cx) {
                drop(self.in_flight.remove(at));
                return Poll::Ready((at, result.map_err(Into::into)));
            }
        }
        Poll::Pending
    }
}

impl<H, G, R, K, Req> Hedges<H, G, R, K, Req> {
    /// Starts with none. Without a `service` they are only counted.
    #[inline]
    pub(crate) fn new(
        hedges: u32,
        context: Context,
        repeat: R,
        kept: K,
        service: Option<H>,
    ) -> Self {
        Self {
            race: Race::new(hedges),
            context,
            source: service.map(|service| Source {
                service,
                repeat,
                kept,
            }),
            in_flight: Vec::new(),
            of: PhantomData,
        }
    }

    /// Returns when the next hedge is due, if there is time for it. The first is so long after the
    /// `start` of the call.
    pub(crate) fn due_after(&self, delay: Duration, start: Option<Instant>) -> Option<Instant> {
        let start = start.filter(|_| self.race.sent() == 0);
        let due = start.unwrap_or_else(Instant::now).checked_add(delay)?;
        (!self.is_too_late(|| due)).then_some(due)
    }

    /// Lets go of what is kept to send hedges.
    pub(crate) fn let_go(&mut self) {
        self.source = None;
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Whether a hedge that starts `at` this time would start after the caller has gone.
    fn is_too_late(&self, at: impl FnOnce() -> Instant) -> bool {
        self.context
            .deadline
            .is_some_and(|deadline| at() >= deadline)
    }
}
