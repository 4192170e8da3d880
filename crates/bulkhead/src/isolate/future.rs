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
///
/// `F` is the future of the inner service `S`, which is called with a `Req` and answers with a
/// `Res`.
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct IsolateFuture<S, F, Res, C, N, Req> {
    #[pin]
    passage: PassageOf<S, F, Res, C, N, Req>,
}

type PassageOf<S, F, Res, C, N, Req> = Passage<Called<F, Res, C, N>, Waiting<S, C, N, Req>>;

impl<S, F, Res, C, N, Req> IsolateFuture<S, F, Res, C, N, Req> {
    pub(super) const fn called(call: Called<F, Res, C, N>) -> Self {
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

impl<S, F, Res, C, N, Req> Future for IsolateFuture<S, F, Res, C, N, Req>
where
    S: Service<Req, Response = Res, Future = F> + Send + 'static,
    S::Error: Into<BoxError>,
    F: Future<Output = Result<Res, S::Error>> + Send + 'static,
    Res: Send + 'static,
    Req: Send + 'static,
    C: Classify<Res>,
    N: Finish<Res, C>,
{
    type Output = Result<N::Response<IsolateCall>, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.project().passage.poll(cx)
    }
}

impl<S, F, Res, C, N, Req> fmt::Debug for IsolateFuture<S, F, Res, C, N, Req> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IsolateFuture").finish_non_exhaustive()
    }
}
