use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project::pin_project;
use tower_service::Service;
use watertight_core::{BoxError, Classify, Finish};

use super::call::IsolateCall;
use super::waiting::{Called, Waiting};
use crate::passage::Passage;

/// The future of a call to [`Isolate`](crate::Isolate).
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct IsolateFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    #[pin]
    passage: PassageOf<S, C, N, Req>,
}

type PassageOf<S, C, N, Req> = Passage<Called<S, C, N, Req>, Waiting<S, C, N, Req>>;

impl<S, C, N, Req> IsolateFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    pub(super) const fn called(call: Called<S, C, N, Req>) -> Self {
        Self {
            passage: Passage::Called(call),
        }
    }

    pub(super) fn waiting(call: Waiting<S, C, N, Req>) -> Self {
        Self {
            passage: Passage::waiting(call),
        }
    }

    pub(super) const fn refused(refusal: BoxError) -> Self {
        Self {
            passage: Passage::refused(refusal),
        }
    }
}

impl<S, C, N, Req> Future for IsolateFuture<S, C, N, Req>
where
    S: Service<Req> + Send + 'static,
    S::Response: Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
    Req: Send + 'static,
    C: Classify<S::Response>,
    N: Finish<S::Response, C>,
{
    type Output = Result<N::Response<IsolateCall>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().passage.poll(cx)
    }
}

impl<S, C, N, Req> fmt::Debug for IsolateFuture<S, C, N, Req>
where
    S: Service<Req>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolateFuture").finish_non_exhaustive()
    }
}
