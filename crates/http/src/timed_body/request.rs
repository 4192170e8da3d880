use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use http_body::Body;
use pin_project::pin_project;
use tokio::task::coop::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};
use tower_layer::Layer;
use tower_service::Service;
use watertight_core::{BoxError, Name, Reason, Rejection};

use super::UploadBody;
use super::upload::Progress;

/// Ends calls whose request bodies do not go out fast enough: from one frame to the next, or as a
/// whole.
///
/// It does not matter who is slow, the peer who does not read or the body that has nothing to send.
/// The call is dropped at once, and its error is a [`Rejection`] for
/// [`TimedOut`](Reason::TimedOut). Once the response is there, the rest of the upload is not
/// watched any more.
///
/// A request whose body has an end that is known at once (empty, or sent) is not watched. One that
/// is costs an allocation.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::RequestBodyTimeoutLayer;
///
/// let write = RequestBodyTimeoutLayer::new("payments").frame(Duration::from_secs(15));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyTimeoutLayer {
    settings: Settings,
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    name: Name,
    frame: Option<Duration>,
    whole: Option<Duration>,
}

impl RequestBodyTimeoutLayer {
    /// Creates the layer, which ends nothing yet.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self {
            settings: Settings {
                name: name.into(),
                frame: None,
                whole: None,
            },
        }
    }

    /// Sets how long it may take until the next frame of a body is taken, the first one from the
    /// call on: to connect is a part of that. Default: any time.
    ///
    /// # Panics
    ///
    /// If `time` is zero.
    #[must_use]
    #[track_caller]
    pub fn frame(mut self, time: Duration) -> Self {
        self.settings.frame = Some(super::checked("frame", time));
        self
    }

    /// Sets how long it may take until all of a body is taken. Default: any time.
    ///
    /// # Panics
    ///
    /// If `time` is zero.
    #[must_use]
    #[track_caller]
    pub fn whole(mut self, time: Duration) -> Self {
        self.settings.whole = Some(super::checked("whole", time));
        self
    }
}

impl<S> Layer<S> for RequestBodyTimeoutLayer {
    type Service = RequestBodyTimeout<S>;

    fn layer(&self, inner: S) -> RequestBodyTimeout<S> {
        RequestBodyTimeout {
            inner,
            settings: self.settings,
        }
    }
}

/// Ends calls whose request bodies do not go out fast enough. Made by [`RequestBodyTimeoutLayer`].
#[derive(Clone, Copy, Debug)]
pub struct RequestBodyTimeout<S> {
    inner: S,
    settings: Settings,
}

impl Settings {
    /// Begins to watch a body.
    fn watch<B: Body>(&self, body: &B) -> Option<Arc<Progress>> {
        let has_limits = self.frame.is_some() || self.whole.is_some();
        (has_limits && !body.is_end_stream()).then(|| Arc::new(Progress::new(Instant::now())))
    }

    /// Returns when an upload is too slow if nothing moves until then. `None` once it has ended.
    fn limit(&self, progress: &Progress) -> Option<Instant> {
        let last = progress.last()?;
        let frame = self.frame.and_then(|frame| last.checked_add(frame));
        let whole = self.whole.and_then(|it| progress.began().checked_add(it));
        frame.into_iter().chain(whole).min()
    }
}

impl<S, B> Service<Request<B>> for RequestBodyTimeout<S>
where
    S: Service<Request<UploadBody<B>>>,
    S::Error: Into<BoxError>,
    B: Body,
{
    type Response = S::Response;
    type Error = BoxError;
    type Future = RequestBodyTimeoutFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let progress = self.settings.watch(request.body());
        let request = request.map(|body| UploadBody::new(body, progress.clone()));
        RequestBodyTimeoutFuture {
            inner: Some(self.inner.call(request)),
            settings: self.settings,
            progress,
            timer: None,
        }
    }
}

/// The future of a call to [`RequestBodyTimeout`].
#[pin_project]
#[must_use = "futures do nothing unless polled"]
pub struct RequestBodyTimeoutFuture<F> {
    /// `None` once it was too slow.
    #[pin]
    inner: Option<F>,
    settings: Settings,
    progress: Option<Arc<Progress>>,
    #[pin]
    timer: Option<Sleep>,
}

impl<F, Res, E> Future for RequestBodyTimeoutFuture<F>
where
    F: Future<Output = Result<Res, E>>,
    E: Into<BoxError>,
{
    type Output = Result<Res, BoxError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let inner = this.inner.as_mut().as_pin_mut();
        let inner = inner.expect("a future that has completed is not polled again");
        if let Poll::Ready(result) = inner.poll(cx) {
            return Poll::Ready(result.map_err(Into::into));
        }
        let Some(progress) = this.progress else {
            return Poll::Pending;
        };
        let mut fired = false;
        loop {
            // Whoever takes frames does not wake this task: the timer looks after them.
            let Some(at) = this.settings.limit(progress) else {
                return Poll::Pending;
            };
            if fired && at <= Instant::now() {
                this.inner.set(None);
                let error = Rejection::new(Reason::TimedOut, this.settings.name);
                return Poll::Ready(Err(error.into()));
            }
            match this.timer.as_mut().as_pin_mut() {
                Some(timer) if fired => timer.reset(at),
                Some(_) => {}
                None => this.timer.set(Some(sleep_until(at))),
            }
            if let Some(timer) = this.timer.as_mut().as_pin_mut() {
                // What was called may have used the cooperative budget of the task up.
                ready!(pin!(unconstrained(timer)).poll(cx));
            }
            fired = true;
        }
    }
}

impl<F> fmt::Debug for RequestBodyTimeoutFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBodyTimeoutFuture")
            .finish_non_exhaustive()
    }
}
