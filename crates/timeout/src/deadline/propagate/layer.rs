use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{
    ConfigError, Mode, Name, SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat,
    Undeclared, WriteDeadlineFn,
};
use watertight_metrics::Registry;

use super::shared::Shared;
use super::{PropagateDeadline, PropagateDeadlineConfig, PropagateDeadlineHandle};

/// Tells the next service how long the caller waits: where calls go out.
///
/// Of what remains until the [`deadline`](watertight_core::Context::deadline) of the context it
/// keeps a [`reserve`](PropagateDeadlineConfig::reserve) and writes the rest on the request, never
/// more; a call with too little left is not made. It ends no call: that is for the deadline above
/// it, and for timeouts.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::HttpExt;
/// use watertight_timeout::PropagateDeadlineLayer;
///
/// let layer = PropagateDeadlineLayer::builder("payments")
///     .http() // `x-deadline-ms`, and `grpc-timeout` on gRPC.
///     .least(Duration::from_millis(20))
///     .build();
/// # let _ = layer;
/// ```
///
/// # Answers that the time is over
///
/// What the next service was told ends before the deadline does, by the reserve. So where it obeys,
/// or the client has a timer for it, the first that comes up is not the deadline of this side but an
/// answer: a 504, DEADLINE_EXCEEDED, an error of tonic. It is the caller who left too little, and
/// not the service that failed, and a breaker must not open for it. So an answer that says so (over
/// HTTP and gRPC those of `HttpDeadlines` in `watertight-http`) becomes the error that the deadline
/// itself would have become, if the time that was written is over when it comes, give or take the
/// millisecond that is lost in rounding.
///
/// What comes earlier stays what it is: a 504 that somebody makes for a reason of its own. So does
/// what comes after [`at_most`](PropagateDeadlineConfig::at_most) where the caller leaves more, or
/// after a shorter time that was on the request already: a service that is slower than a timeout of
/// this side allows it has failed. And so does a gRPC status in trailers, which comes after the
/// head of an answer. Answers to what a closure [wrote](PropagateDeadlineBuilder::write) are not
/// understood; [`deadlines`](PropagateDeadlineBuilder::deadlines) takes what
/// [understands](watertight_core::SaysExceeded) them.
///
/// # Order
///
/// Inside of all that waits, such as retries and bulkheads, so that what is written is what is
/// left when the request goes out: next to the client. Above a `Buffer` or a tonic `Channel`, in
/// which there is no context.
///
/// # Readiness
///
/// It is ready when the inner service is.
///
/// # Cancellation
///
/// It holds nothing, and a dropped call is none of its business.
///
/// # Errors
///
/// A call that is not made, or whose time is over, fails with a
/// [`Rejection`](watertight_core::Rejection) for
/// [`DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded). Other errors of the inner
/// service pass untouched.
///
/// A tonic client takes an error of a layer for the status UNKNOWN. With `.respond_rejections()` of
/// `RespondExt` in `watertight-http` around the stack it sees DEADLINE_EXCEEDED.
///
/// # Sharing
///
/// All services that one layer or its clones make, and all their clones, share the counts.
///
/// # Defaults
///
/// | setting | default |
/// | --- | --- |
/// | [`reserve`](PropagateDeadlineConfig::reserve) | 5 ms |
/// | [`least`](PropagateDeadlineConfig::least) | 0: any time is enough |
/// | [`at_most`](PropagateDeadlineConfig::at_most) | none |
/// | [`chain`](PropagateDeadlineConfig::chain) | false |
///
/// # Telemetry
///
/// Metrics, with `layer = "propagate_deadline"`: the calls that were not made, and those that were
/// answered that their time is over, as `watertight_rejections_total` and the outcome `rejected` of
/// `watertight_calls_total`. How the others end it does not count. The
/// [snapshot](PropagateDeadlineHandle::snapshot) tells the two apart.
///
/// The clock is read where there is a deadline, and at an answer that the time is over. To write a header allocates what the header takes.
#[derive(Clone, Debug)]
pub struct PropagateDeadlineLayer<D = Undeclared> {
    shared: Arc<Shared>,
    deadlines: D,
}

impl PropagateDeadlineLayer {
    /// Starts the making of a layer.
    pub fn builder(name: impl Into<Name>) -> PropagateDeadlineBuilder {
        Self::from_config(name, PropagateDeadlineConfig::default())
    }

    /// Starts the making of a layer with the settings of `config`.
    pub fn from_config(
        name: impl Into<Name>,
        config: PropagateDeadlineConfig,
    ) -> PropagateDeadlineBuilder {
        PropagateDeadlineBuilder {
            name: name.into(),
            config,
            registry: None,
            deadlines: Undeclared,
        }
    }
}

impl<D> PropagateDeadlineLayer<D> {
    /// Returns a handle on the layer.
    #[must_use]
    pub fn handle(&self) -> PropagateDeadlineHandle {
        PropagateDeadlineHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, D: Clone> Layer<S> for PropagateDeadlineLayer<D> {
    type Service = PropagateDeadline<S, D>;

    fn layer(&self, inner: S) -> Self::Service {
        PropagateDeadline::new(inner, Arc::clone(&self.shared), self.deadlines.clone())
    }
}

/// Makes a [`PropagateDeadlineLayer`].
///
/// What is plain data is described at the field of the same name of [`PropagateDeadlineConfig`],
/// with its range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct PropagateDeadlineBuilder<D = Undeclared> {
    name: Name,
    config: PropagateDeadlineConfig,
    registry: Option<Registry>,
    deadlines: D,
}

impl<D> PropagateDeadlineBuilder<D> {
    /// Sets what is kept of the time that remains, for the way back. Default: 5 ms.
    pub fn reserve(mut self, time: Duration) -> Self {
        self.config.reserve = time;
        self
    }

    /// Sets the least time with which a call is still made. Default: 0, any time is enough.
    pub fn least(mut self, time: Duration) -> Self {
        self.config.least = time;
        self
    }

    /// Sets the most time that a call is said to have: that of the timeout around it. Default: what
    /// remains.
    pub fn at_most(mut self, time: Duration) -> Self {
        self.config.at_most = Some(time);
        self
    }

    /// Passes on the services that a call has come through, and what each has spent. Where it came
    /// in, [`DeadlineBuilder::hop`](crate::DeadlineBuilder::hop) keeps track of that. Default:
    /// false.
    pub fn chain(mut self, pass_on: bool) -> Self {
        self.config.chain = pass_on;
        self
    }

    /// Sets whether deadlines are passed on and calls refused, or only counted. Default:
    /// [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Writes by a closure how long the caller of a request waits. No answer is taken then for one
    /// that the time is over.
    pub fn write<Req, F>(self, write: F) -> PropagateDeadlineBuilder<WriteDeadlineFn<F, Req>>
    where
        F: Fn(&mut Req, Duration),
    {
        self.set_deadlines(WriteDeadlineFn::new(write))
    }

    /// Sets how it is written on a request how long its caller waits. There is no default: without
    /// it, `.http()` or `.grpc()`, the layer makes no service.
    pub fn deadlines<D2>(self, deadlines: D2) -> PropagateDeadlineBuilder<D2> {
        self.set_deadlines(deadlines)
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> PropagateDeadlineLayer<D> {
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
    pub fn try_build(self) -> Result<PropagateDeadlineLayer<D>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(PropagateDeadlineLayer {
            shared: Shared::new(self.name, self.config, &registry),
            deadlines: self.deadlines,
        })
    }
}

impl<D> SetDeadlines for PropagateDeadlineBuilder<D> {
    type With<D2> = PropagateDeadlineBuilder<D2>;

    fn set_deadlines<D2>(self, deadlines: D2) -> Self::With<D2> {
        PropagateDeadlineBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            deadlines,
        }
    }
}

/// Of answers it looks at none but those that the time is over.
impl<D> SetClassifier for PropagateDeadlineBuilder<D> {
    type With<C> = Self;

    fn set_classifier<C>(self, _: C) -> Self {
        self
    }
}

/// It does not look at how calls end.
impl<D> SetFinish for PropagateDeadlineBuilder<D> {
    type With<N> = Self;

    fn set_finish<N>(self, _: N) -> Self {
        self
    }
}

/// It sends nothing again.
impl<D> SetRepeat for PropagateDeadlineBuilder<D> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// It has nothing to say on the answers of others.
impl<D> SetNotes for PropagateDeadlineBuilder<D> {
    type With<T> = Self;

    fn set_notes<T>(self, _: T) -> Self {
        self
    }
}
