use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish};

use crate::call::BulkheadCall;
use crate::passage::Passage;
use crate::waiting::{Called, Waiting};

/// The future of a call to [`Bulkhead`](crate::Bulkhead).
///
/// `F` is the future of the inner service `S`, which is called with a `Req`.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, F, C, N, Req> {
    #[pin]
    passage: PassageOf<S, F, C, N, Req>,
}

type PassageOf<S, F, C, N, Req> = Passage<Called<F, C, N>, Waiting<S, C, N, Req>>;

impl<S, F, C, N, Req> ResponseFuture<S, F, C, N, Req> {
    #[inline]
    pub(crate) const fn called(call: Called<F, C, N>) -> Self {
        Self {
            passage: Passage::Called(call),
        }
    }

    pub(crate) fn waiting(call: Waiting<S, C, N, Req>) -> Self {
        Self {
            passage: Passage::waiting(call),
        }
    }

    pub(crate) const fn refused(refusal: BoxError) -> Self {
        Self {
            passage: Passage::refused(refusal),
        }
    }
}

impl<S, F, C, N, Req> Future for ResponseFuture<S, F, C, N, Req>
where
    S: Service<Req, Future = F>,
    F: Future<Output = Result<S::Response, S::Error>>,
    S::Error: Into<BoxError>,
    C: Classify<S::Response> + Clone,
    N: Finish<S::Response, C> + Clone,
{
    type Output = Result<N::Response<BulkheadCall>, BoxError>;

    #[inline]
    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().passage.poll(cx)
    }
}

impl<S, F, C, N, Req> fmt::Debug for ResponseFuture<S, F, C, N, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
