use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio_test::task::spawn;
use tokio_test::{assert_ready, assert_ready_ok};
use tower::{BoxError, Service};
use watertight_core::{Classify, DynError, ErrorsAreFailures, Outcome, Reason, Rejection};
use watertight_metrics::{InstanceSnapshot, Registry};
use watertight_ratelimit::{Quotas, RateLimitBuilder, TokenBucket, TokenBucketLayer};

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// Answers at once, with the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Echo;

impl<Req> Service<Req> for Echo {
    type Response = Req;
    type Error = Infallible;
    type Future = Ready<Result<Req, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Req) -> Self::Future {
        ready(Ok(request))
    }
}

/// Takes an answer for what it says.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AsSaid;

impl Classify<Outcome> for AsSaid {
    fn classify(&self, result: Result<&Outcome, &DynError>) -> Outcome {
        match result {
            Ok(said) => *said,
            Err(error) => Classify::<()>::classify(&ErrorsAreFailures, Err(error)),
        }
    }
}

/// Starts the making of a token bucket that reports to a registry of its own.
pub(crate) fn bucket(quotas: impl Into<Quotas>) -> RateLimitBuilder<TokenBucket> {
    TokenBucketLayer::builder("api", quotas).registry(&Registry::new())
}

/// Makes a call that is answered or refused at once.
#[track_caller]
pub(crate) fn call<S, Req>(service: &mut S, request: Req) -> Result<S::Response, Rejection>
where
    S: Service<Req, Error = BoxError>,
{
    assert_ready_ok!(spawn(()).enter(|cx, _| service.poll_ready(cx)));
    let answer = assert_ready!(spawn(service.call(request)).poll());
    answer.map_err(|error| Rejection::find(&*error).unwrap().clone())
}

/// Makes so many calls, and returns how many of them were answered.
pub(crate) fn answered<S, Req>(service: &mut S, request: Req, calls: usize) -> usize
where
    S: Service<Req, Error = BoxError>,
    Req: Clone,
{
    let answers = (0..calls).filter(|_| call(service, request.clone()).is_ok());
    answers.count()
}

/// Makes a call that the limit has to refuse.
#[track_caller]
pub(crate) fn refusal<S, Req>(service: &mut S, request: Req) -> Rejection
where
    S: Service<Req, Error = BoxError>,
{
    let Err(rejection) = call(service, request) else {
        panic!("the call was answered");
    };
    assert_eq!(rejection.reason(), Reason::RateLimited);
    rejection
}

/// What the one layer of a registry has counted.
pub(crate) fn counted(registry: &Registry) -> InstanceSnapshot {
    registry.snapshot().instances.pop().unwrap()
}
