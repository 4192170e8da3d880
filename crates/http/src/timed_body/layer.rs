use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{ConfigError, Mode, Name};
use watertight_metrics::Registry;

use super::shared::Shared;
use super::{
    BodyTimeoutConfig, BodyTimeoutHandle, RequestBodies, RequestBodyTimeout, ResponseBodies,
    ResponseBodyTimeout, Side,
};

/// Limits how long bodies take: [`RequestBodyTimeoutLayer`] or [`ResponseBodyTimeoutLayer`].
///
/// # Sharing
///
/// All services that one layer or its clones make, and all their clones, share the settings and the
/// counts.
///
/// # Defaults
///
/// | setting | default |
/// | --- | --- |
/// | [`frame`](BodyTimeoutConfig::frame), [`whole`](BodyTimeoutConfig::whole) | none |
/// | [`mode`](BodyTimeoutConfig::mode) | [`Mode::Enforce`] |
///
/// The status of a response says nothing here, so the builder knows no classifier.
///
/// # Telemetry
///
/// Metrics, with `layer = "request_body_timeout"` or `"response_body_timeout"`:
/// `watertight_calls_total`, where a call whose body was too slow is `rejected`,
/// `watertight_rejections_total`, `watertight_in_flight`. More is in
/// [`BodyTimeoutSnapshot`](crate::BodyTimeoutSnapshot). In [`Mode::Shadow`] a body that is too slow
/// is counted once, and goes on.
pub struct BodyTimeoutLayer<D> {
    shared: Arc<Shared<D>>,
}

/// Ends calls whose request bodies do not go out fast enough: from one frame to the next, or as a
/// whole.
///
/// It does not matter who is slow, the peer who does not read or the body that has nothing to send.
/// A request whose body has an end that is known at once (empty, or sent) is not watched. One that
/// is costs an allocation.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::RequestBodyTimeoutLayer;
///
/// let write = RequestBodyTimeoutLayer::builder("payments-write")
///     .frame(Duration::from_secs(15))
///     .whole(Duration::from_secs(120))
///     .build();
/// # let _ = write;
/// ```
///
/// The time of the first frame runs from the call on: to connect is a part of it. Once the response
/// is there, the rest of the upload is not watched any more.
///
/// # Order
///
/// Next to the client: what is inside of it sees an [`UploadBody`](crate::UploadBody).
///
/// # Readiness
///
/// It is ready when the inner service is.
///
/// # Cancellation
///
/// A call whose body is too slow is dropped at once. A dropped call is counted `cancelled`. A panic
/// of the inner service is one failure, and goes on to the caller.
///
/// # Errors
///
/// A [`Rejection`](watertight_core::Rejection) for [`TimedOut`](watertight_core::Reason::TimedOut).
/// Errors of the inner service pass untouched.
///
/// [`BodyTimeoutLayer`] says what is shared, and what is counted.
pub type RequestBodyTimeoutLayer = BodyTimeoutLayer<RequestBodies>;

/// Cuts off response bodies that take too long: from one frame to the next, or as a whole.
///
/// A timeout of a call ends with the head of its response; from there on it is this one's.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::ResponseBodyTimeoutLayer;
///
/// let read = ResponseBodyTimeoutLayer::builder("payments-read")
///     .frame(Duration::from_secs(30))
///     .whole(Duration::from_secs(300))
///     .build();
/// # let _ = read;
/// ```
///
/// The time of a frame runs while somebody waits for it, that of the whole from the head on.
/// [`TimedBody`](crate::TimedBody) says what becomes of a body that is read late.
///
/// # Order
///
/// Inside of what ends its calls [`AtBodyEnd`](crate::AtBodyEnd): a body that is cut off is a failure
/// there.
///
/// # Readiness
///
/// It is ready when the inner service is.
///
/// # Cancellation
///
/// What is cut off is dropped at once. A call that is dropped before the end of its body is counted
/// `cancelled`. A panic of the inner service or the body is one failure, and goes on to the caller.
///
/// # Errors
///
/// A call has those of the inner service, of the same type: none is ended. The reader of a body that
/// is cut off gets a [`Rejection`](watertight_core::Rejection) for
/// [`TimedOut`](watertight_core::Reason::TimedOut), over gRPC trailers that say so.
///
/// [`BodyTimeoutLayer`] says what is shared, and what is counted.
pub type ResponseBodyTimeoutLayer = BodyTimeoutLayer<ResponseBodies>;

impl<D: Side> BodyTimeoutLayer<D> {
    /// Creates a layer that gives each frame of a body so much time.
    ///
    /// # Panics
    ///
    /// If `frame` is zero.
    #[must_use]
    #[track_caller]
    pub fn new(name: impl Into<Name>, frame: Duration) -> Self {
        Self::builder(name).frame(frame).build()
    }

    /// Starts the making of a layer, which limits nothing yet.
    pub fn builder(name: impl Into<Name>) -> BodyTimeoutBuilder<D> {
        Self::from_config(name, BodyTimeoutConfig::default())
    }

    /// Starts the making of a layer with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: BodyTimeoutConfig) -> BodyTimeoutBuilder<D> {
        BodyTimeoutBuilder {
            name: name.into(),
            config,
            registry: None,
            side: PhantomData,
        }
    }

    /// Returns a handle on the layer.
    #[must_use]
    pub fn handle(&self) -> BodyTimeoutHandle<D> {
        BodyTimeoutHandle::new(Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for RequestBodyTimeoutLayer {
    type Service = RequestBodyTimeout<S>;

    fn layer(&self, inner: S) -> RequestBodyTimeout<S> {
        RequestBodyTimeout::new(inner, Arc::clone(&self.shared))
    }
}

impl<S> Layer<S> for ResponseBodyTimeoutLayer {
    type Service = ResponseBodyTimeout<S>;

    fn layer(&self, inner: S) -> ResponseBodyTimeout<S> {
        ResponseBodyTimeout::new(inner, Arc::clone(&self.shared))
    }
}

impl<D> Clone for BodyTimeoutLayer<D> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<D: Side> fmt::Debug for BodyTimeoutLayer<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTimeoutLayer")
            .field("name", &self.shared.name())
            .field("config", &self.shared.config())
            .finish_non_exhaustive()
    }
}

/// Makes a [`BodyTimeoutLayer`].
#[must_use = "a builder does nothing until `build`"]
pub struct BodyTimeoutBuilder<D> {
    name: Name,
    config: BodyTimeoutConfig,
    registry: Option<Registry>,
    side: PhantomData<fn() -> D>,
}

impl<D: Side> BodyTimeoutBuilder<D> {
    /// Sets how long the next frame of a body may take. Default: any time.
    pub fn frame(mut self, time: Duration) -> Self {
        self.config.frame = Some(time);
        self
    }

    /// Sets how long all of a body may take. Default: any time.
    pub fn whole(mut self, time: Duration) -> Self {
        self.config.whole = Some(time);
        self
    }

    /// Sets whether bodies are cut off, or only counted. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range.
    #[must_use]
    #[track_caller]
    pub fn build(self) -> BodyTimeoutLayer<D> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range.
    pub fn try_build(self) -> Result<BodyTimeoutLayer<D>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(BodyTimeoutLayer {
            shared: Shared::new(self.name, self.config, &registry),
        })
    }
}

impl<D> Clone for BodyTimeoutBuilder<D> {
    fn clone(&self) -> Self {
        Self {
            name: self.name,
            config: self.config,
            registry: self.registry.clone(),
            side: PhantomData,
        }
    }
}

impl<D> fmt::Debug for BodyTimeoutBuilder<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyTimeoutBuilder")
            .field("name", &self.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
