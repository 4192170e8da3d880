use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame, SizeHint};
use pin_project::{pin_project, pinned_drop};
use tokio::time::Instant;
use watertight_core::nanos;

/// The body of a request of which somebody watches how fast it goes out. Made by
/// [`RequestBodyTimeoutLayer`](super::RequestBodyTimeoutLayer).
#[derive(Debug)]
#[pin_project(PinnedDrop)]
pub struct UploadBody<B> {
    #[pin]
    inner: B,
    /// `None` for one that nobody watches.
    progress: Option<Arc<Progress>>,
}

impl<B> UploadBody<B> {
    pub(super) const fn new(inner: B, progress: Option<Arc<Progress>>) -> Self {
        Self { inner, progress }
    }
}

impl<B: Body> Body for UploadBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = this.inner.as_mut().poll_frame(cx);
        if let (Some(progress), Poll::Ready(frame)) = (this.progress, &polled) {
            if matches!(frame, Some(Ok(_))) && !this.inner.is_end_stream() {
                progress.moved(Instant::now());
            } else {
                progress.ended();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// Who lets go of a body waits for nothing of it: hyper does so once it has sent as much as the
/// length of the request says.
#[pinned_drop]
impl<B> PinnedDrop for UploadBody<B> {
    fn drop(self: Pin<&mut Self>) {
        if let Some(progress) = self.project().progress {
            progress.ended();
        }
    }
}

/// How far an upload has come.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    /// When the last frame was taken, in nanoseconds since it began, or [`ENDED`](Self::ENDED).
    moved: AtomicU64,
}

impl Progress {
    const ENDED: u64 = u64::MAX;

    pub(super) const fn new(began: Instant) -> Self {
        Self {
            began,
            moved: AtomicU64::new(0),
        }
    }

    /// Returns when the last frame was taken, or the upload began. `None` once it has ended.
    pub(super) fn last(&self) -> Option<Instant> {
        match self.moved.load(Ordering::Relaxed) {
            Self::ENDED => None,
            moved => Some(self.began + Duration::from_nanos(moved)),
        }
    }

    pub(super) const fn began(&self) -> Instant {
        self.began
    }

    fn moved(&self, now: Instant) {
        let since = nanos(now.saturating_duration_since(self.began));
        self.moved.store(since, Ordering::Relaxed);
    }

    fn ended(&self) {
        self.moved.store(Self::ENDED, Ordering::Relaxed);
    }
}
