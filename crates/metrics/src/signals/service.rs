use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower_service::Service;
use watertight_core::{
    AtResponse, BoxError, Classify, ErrorsAreFailures, Finish, Stripes, Tracked,
};

use super::SignalsCall;
use super::shared::Shared;

/// Measures an inner service.
///
/// Made by [`SignalsLayer`](crate::SignalsLayer).
#[derive(Clone)]
pub struct Signals<S, C = ErrorsAreFailures, N = AtResponse> {
    inner: S,
    stripes: Stripes<Arc<Shared>>,
    classify: C,
    finish: N,
}

impl<S, C, N> Signals<S, C, N> {
    pub(super) fn new(inner: S, stripes: Stripes<Arc<Shared>>, classify: C, finish: N) -> Self {
        Self {
            inner,
            stripes,
            classify,
            finish,
        }
    }
}

impl<S, C, N, Req> Service<Req> for Signals<S, C, N>
where
    S: Service<Req>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
{
    type Response = N::Response<SignalsCall>;
    type Error = BoxError;
    type Future = Tracked<S::Future, SignalsCall, C, N>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Req) -> Self::Future {
        Tracked::new(
            SignalsCall::new(self.stripes.mine()),
            self.classify.clone(),
            self.finish.clone(),
            || self.inner.call(request),
        )
    }
}

impl<S: fmt::Debug, C, N> fmt::Debug for Signals<S, C, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
