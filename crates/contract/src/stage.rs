use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::task::yield_now;
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;
use watertight_core::BoxError;

use crate::control::{Control, Script};
use crate::exhaustion::Exhaustion;
use crate::probe::{Probe, Request, Response};
use crate::waiter::Waiter;

/// How long an answer may take, on the paused clock.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// How often a future is polled before it is said never to end.
const MAX_POLLS: usize = 10_000;

/// A service that the layer under test makes.
pub(crate) trait Outer:
    Service<Request, Response = Response, Error = BoxError, Future: Send>
    + Clone
    + Send
    + Sync
    + 'static
{
}

impl<S> Outer for S
where
    S: Service<Request, Response = Response, Error = BoxError> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
}

/// The layer under test.
pub(crate) trait Subject:
    Layer<Probe, Service: Outer> + Clone + Send + Sync + 'static
{
}

impl<L> Subject for L where L: Layer<Probe, Service: Outer> + Clone + Send + Sync + 'static {}

/// What the author has said about the layer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Terms {
    pub(crate) allocations: u64,
    pub(crate) exhaustion: Option<Exhaustion>,
}

/// What a rule comes to: `Err` says what was seen that breaks it.
pub(crate) type Ruling = Result<(), String>;

/// Where a rule is played: a fresh layer around a fresh inner service, on a runtime whose clock
/// moves only when all wait for it.
pub(crate) struct Stage<'a, L> {
    runtime: &'a Runtime,
    make: &'a dyn Fn() -> L,
    requests: Cell<u64>,
    pub(crate) terms: Terms,
    pub(crate) layer: L,
    pub(crate) inner: Control,
}

impl<'a, L: Subject> Stage<'a, L> {
    /// Sets the stage. The runtime has to be entered.
    pub(crate) fn new(runtime: &'a Runtime, make: &'a dyn Fn() -> L, terms: Terms) -> Self {
        Self {
            runtime,
            make,
            requests: Cell::new(0),
            terms,
            layer: make(),
            inner: Control::new(),
        }
    }

    /// Sets it again, with another layer and another inner service.
    pub(crate) fn afresh(&self) -> Self {
        Self::new(self.runtime, self.make, self.terms)
    }

    /// Wraps another instance of the inner service in the layer.
    pub(crate) fn service(&self) -> L::Service {
        self.layer.layer(self.inner.probe())
    }

    pub(crate) fn request(&self) -> Request {
        let id = self.requests.get() + 1;
        self.requests.set(id);
        Request { id }
    }

    /// Drives `service` ready.
    pub(crate) fn ready(&self, service: &mut L::Service) -> Result<(), String> {
        match self.drive(&Waiter::new(), |cx| service.poll_ready(cx)) {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(format!("poll_ready failed: {error}")),
            None => Err("poll_ready stayed Pending".into()),
        }
    }

    /// Drives `service` ready and calls it.
    pub(crate) fn start(&self, service: &mut L::Service) -> Result<Running<L>, String> {
        self.ready(service)?;
        Ok(Running::new(service.call(self.request())))
    }

    /// Drives a call to its end. `None`: it does not end.
    pub(crate) fn finish(&self, running: &mut Running<L>) -> Option<Result<Response, BoxError>> {
        let Running { future, waiter } = running;
        self.drive(waiter, |cx| future.as_mut().poll(cx))
    }

    /// Makes a call, which has to succeed.
    pub(crate) fn serve(&self, service: &mut L::Service) -> Ruling {
        let mut running = self.start(service)?;
        match self.finish(&mut running) {
            Some(Ok(_)) => Ok(()),
            Some(Err(error)) => Err(format!("a call failed: {error}")),
            None => Err("a call did not end".into()),
        }
    }

    /// Makes nine calls that succeed, so that one failure after them is a rare one: what a layer
    /// does about many failures is its own business.
    pub(crate) fn serve_nine(&self, service: &mut L::Service) -> Ruling {
        self.inner.play(Script::Respond);
        (0..9).try_for_each(|_| self.serve(service))
    }

    /// Lets everything run that can run without the clock.
    pub(crate) fn settle(&self) {
        self.runtime.block_on(async {
            for _ in 0..16 {
                yield_now().await;
            }
        });
    }

    /// Waits until `waiter` is woken again, on the paused clock. Returns whether it was.
    pub(crate) fn wait(&self, waiter: &Waiter, seen: usize) -> bool {
        let woken = waiter.woken_past(seen);
        self.runtime
            .block_on(async { timeout(PATIENCE, woken).await })
            .is_ok()
    }

    fn drive<T>(
        &self,
        waiter: &Waiter,
        mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Option<T> {
        for _ in 0..MAX_POLLS {
            let seen = waiter.wakes();
            if let Poll::Ready(result) = poll(&mut waiter.context()) {
                return Some(result);
            }
            if !self.wait(waiter, seen) {
                // A wake-up that got lost is for the rules about wake-ups to find.
                return match poll(&mut waiter.context()) {
                    Poll::Ready(result) => Some(result),
                    Poll::Pending => None,
                };
            }
        }
        None
    }
}

impl<L> fmt::Debug for Stage<'_, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stage")
            .field("terms", &self.terms)
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// A call in flight.
pub(crate) struct Running<L: Subject> {
    future: Pin<Box<<L::Service as Service<Request>>::Future>>,
    pub(crate) waiter: Waiter,
}

impl<L: Subject> Running<L> {
    pub(crate) fn new(future: <L::Service as Service<Request>>::Future) -> Self {
        Self {
            future: Box::pin(future),
            waiter: Waiter::new(),
        }
    }

    pub(crate) fn poll(&mut self) -> Poll<Result<Response, BoxError>> {
        self.waiter.poll(self.future.as_mut())
    }

    pub(crate) fn poll_as(&mut self, waiter: &Waiter) -> Poll<Result<Response, BoxError>> {
        waiter.poll(self.future.as_mut())
    }
}
