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
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct ResponseFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    #[pin]
    passage: PassageOf<S, C, N, Req>,
}

type PassageOf<S, C, N, Req> = Passage<Called<S, C, N, Req>, Waiting<S, C, N, Req>>;

impl<S, C, N, Req> ResponseFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    #[inline]
    pub(crate) const fn called(call: Called<S, C, N, Req>) -> Self {
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

impl<S, C, N, Req> Future for ResponseFuture<S, C, N, Req>
where
    S: Service<Req>,
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

impl<S, C, N, Req> fmt::Debug for ResponseFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
