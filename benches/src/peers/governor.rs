use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, Quota};
use pin_project::pin_project;
use tower::{BoxError, Layer, Service};

/// `governor`, which has no layer of its own, before a service.
#[derive(Clone)]
pub(crate) struct GovernorLayer<C>(C);

impl GovernorLayer<Direct> {
    /// Makes one limit of all calls, which lets all pass.
    pub(crate) fn ample() -> Self {
        Self(Direct(Arc::new(DefaultDirectRateLimiter::direct(AMPLE))))
    }

    /// Makes one that has nothing left.
    pub(crate) fn dry() -> Self {
        let limiter = DefaultDirectRateLimiter::direct(scant());
        let _ = limiter.check();
        Self(Direct(Arc::new(limiter)))
    }
}

impl GovernorLayer<Keyed> {
    /// Makes a limit for each of so many keys, which let all calls pass and are all known.
    pub(crate) fn by_key(keys: u64) -> Self {
        let limiter = DefaultKeyedRateLimiter::keyed(AMPLE);
        for key in 0..keys {
            let _ = limiter.check_key(&key);
        }
        let limiter = Arc::new(limiter);
        Self(Keyed { limiter, keys })
    }

    /// Makes a limit for one key, which has nothing left.
    pub(crate) fn dry_by_key() -> Self {
        let limiter = DefaultKeyedRateLimiter::keyed(scant());
        let _ = limiter.check_key(&0);
        let limiter = Arc::new(limiter);
        Self(Keyed { limiter, keys: 1 })
    }
}

const AMPLE: Quota = Quota::per_second(NonZeroU32::MAX);

fn scant() -> Quota {
    let day = Duration::from_secs(86_400);
    Quota::with_period(day).expect("a day is no time of zero")
}

#[derive(Clone)]
pub(crate) struct Direct(Arc<DefaultDirectRateLimiter>);

#[derive(Clone)]
pub(crate) struct Keyed {
    limiter: Arc<DefaultKeyedRateLimiter<u64>>,
    keys: u64,
}

/// What is asked about each call.
pub(crate) trait Check: Clone + Send + Sync + 'static {
    fn passes(&self) -> bool;
}

impl Check for Direct {
    fn passes(&self) -> bool {
        self.0.check().is_ok()
    }
}

impl Check for Keyed {
    fn passes(&self) -> bool {
        self.limiter.check_key(&super::any_key(self.keys)).is_ok()
    }
}

impl<S, C: Clone> Layer<S> for GovernorLayer<C> {
    type Service = Governed<S, C>;

    fn layer(&self, inner: S) -> Governed<S, C> {
        Governed {
            inner,
            check: self.0.clone(),
        }
    }
}

#[derive(Clone)]
pub(crate) struct Governed<S, C> {
    inner: S,
    check: C,
}

impl<S, C> Service<u64> for Governed<S, C>
where
    S: Service<u64, Error: Into<BoxError>>,
    C: Check,
{
    type Response = S::Response;
    type Error = Dry;
    type Future = GovernedFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Dry>> {
        self.inner.poll_ready(cx).map_err(|_| Dry)
    }

    fn call(&mut self, request: u64) -> Self::Future {
        if self.check.passes() {
            GovernedFuture::Passed(self.inner.call(request))
        } else {
            GovernedFuture::Refused
        }
    }
}

/// There is nothing left.
#[derive(Debug)]
pub(crate) struct Dry;

#[pin_project(project = GovernedProj)]
pub(crate) enum GovernedFuture<F> {
    Passed(#[pin] F),
    Refused,
}

impl<F: Future<Output = Result<T, E>>, T, E> Future for GovernedFuture<F> {
    type Output = Result<T, Dry>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            GovernedProj::Passed(call) => call.poll(cx).map_err(|_| Dry),
            GovernedProj::Refused => Poll::Ready(Err(Dry)),
        }
    }
}
