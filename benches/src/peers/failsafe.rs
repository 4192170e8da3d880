use std::task::{Context, Poll};
use std::time::Duration;

use failsafe::failure_policy::{ConsecutiveFailures, consecutive_failures};
use failsafe::futures::{CircuitBreaker as _, ResponseFuture};
use failsafe::{Config, Error, StateMachine, backoff};
use tower::{Layer, Service};

type Policy = ConsecutiveFailures<backoff::Constant>;

/// `failsafe`, which has no layer of its own.
#[derive(Clone)]
pub(crate) struct FailsafeLayer(StateMachine<Policy, ()>);

impl FailsafeLayer {
    /// Makes one that opens after five failures in a row.
    pub(crate) fn closed() -> Self {
        let policy = consecutive_failures(5, backoff::constant(Duration::from_secs(3600)));
        Self(Config::new().failure_policy(policy).build())
    }

    pub(crate) fn open() -> Self {
        let layer = Self::closed();
        while layer.0.is_call_permitted() {
            layer.0.on_error();
        }
        layer
    }
}

impl<S> Layer<S> for FailsafeLayer {
    type Service = Failsafe<S>;

    fn layer(&self, inner: S) -> Failsafe<S> {
        Failsafe {
            inner,
            machine: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Failsafe<S> {
    inner: S,
    machine: StateMachine<Policy, ()>,
}

impl<S, Req> Service<Req> for Failsafe<S>
where
    S: Service<Req>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S::Future, Policy, (), failsafe::Any>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Inner)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        self.machine.call(self.inner.call(request))
    }
}
