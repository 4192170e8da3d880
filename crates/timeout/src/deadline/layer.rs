use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{
    AtResponse, ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Mode, Name, Outcome,
    ReadDeadlineFn, SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat, Undeclared,
};
use watertight_metrics::Registry;

use super::shared::Shared;
use super::{Deadline, DeadlineConfig, DeadlineHandle};

/// Serves calls for as long as their callers wait, and no longer: where calls come in.
///
/// Work for a caller who has gone is lost, and in an overload it is what keeps a service from
/// coming back: it works off a queue of calls that nobody waits for. This layer reads off each
/// request how long its caller waits, sets the
/// [`deadline`](watertight_core::Context::deadline) of the call's context to the earlier of that
/// and its own limit, ends the call there, and refuses at once what has no time left. All layers
/// below go by the context, and [`PropagateDeadlineLayer`](crate::PropagateDeadlineLayer) tells
/// the next service.
///
/// ```
/// use std::time::Duration;
/// use watertight_http::{HttpExt, RespondExt};
/// use watertight_timeout::DeadlineLayer;
///
/// // At most 10 s, and less if `grpc-timeout` or `x-deadline-ms` say so.
/// let layer = DeadlineLayer::builder("inbound", Duration::from_secs(10)).http().build().respond();
/// # let _ = layer;
/// ```
///
/// Without `.http()`, `.grpc()` or [`read`](DeadlineBuilder::read) it knows of nothing but its own
/// limit and the deadline of a context that is set around it.
///
/// # Calls that come too late
///
/// A call without time left is refused and the inner service is not called. A client that always
/// says so, for whatever bug, would be refused for ever: so no more than
/// [`max_refused`](DeadlineConfig::max_refused) of such calls are. The others are spared: they are
/// served within the layer's own limit, as if they had said nothing. What they did say is taken
/// off the request, from the headers of `.http()` and `.grpc()`, so that a gateway that passes the
/// request on does not pass that on.
///
/// Only a call whose own word is zero is spared. One whose caller says 5 ms where it means 5 s is
/// ended after 5 ms, every time: who says too little, but not nothing, is taken at its word. And
/// one that comes after the deadline of a context around the layer is refused, always.
///
/// # Order
///
/// Outermost in a server, but for what closes the stack (`.respond()`) and what only listens: what
/// waits in a queue outside of it waits longer than its caller does.
///
/// # Readiness
///
/// It is ready when the inner service is. The time until then is the host's, not the call's.
///
/// # Cancellation
///
/// At the deadline the inner future is dropped at once; an answer that is there in the same moment
/// wins. With `.http()` and `.grpc()` the body of a response is made in the context of the call,
/// and cut off at the deadline too. That is counted where the call lasts as long as the body does,
/// with `.finish(AtBodyEnd)`, which `.grpc()` sets; by default a call is counted at the head of its
/// response, and what becomes of the body is not. A dropped call is counted `cancelled`, or after its deadline as
/// one that was cut off. A panic of the inner service is one failure, and goes on to the caller.
///
/// # Errors
///
/// A call that is refused or ended fails with a [`Rejection`](watertight_core::Rejection) for
/// [`DeadlineExceeded`](watertight_core::Reason::DeadlineExceeded): 504 in HTTP,
/// DEADLINE_EXCEEDED in gRPC. Errors of the inner service pass untouched.
///
/// # Sharing
///
/// All services that one layer or its clones make, and all their clones, share the counts and the
/// share that is refused.
///
/// # Defaults
///
/// | setting | default |
/// | --- | --- |
/// | [`within`](DeadlineConfig::within) | required |
/// | [`max_refused`](DeadlineConfig::max_refused) | 0.9 |
/// | [`hop`](DeadlineConfig::hop) | none |
/// | [`record_times`](DeadlineConfig::record_times) | false |
///
/// # Telemetry
///
/// Metrics, with `layer = "deadline"`: `watertight_calls_total`, `watertight_rejections_total`,
/// `watertight_in_flight`. In [`Mode::Shadow`] no deadline is set either. With
/// [`record_times`](DeadlineConfig::record_times) the [snapshot](DeadlineHandle::snapshot) shows how
/// much time calls have left as they come, and how late they are.
///
/// A call reads the clock once. One that is answered at once makes no timer, and allocates nothing
/// but for hops.
#[derive(Clone, Debug)]
pub struct DeadlineLayer<D = Undeclared, C = ErrorsAreFailures, N = AtResponse> {
    shared: Arc<Shared>,
    deadlines: D,
    classify: C,
    finish: N,
}

impl DeadlineLayer {
    /// Creates a layer that gives calls so much time, at most. It reads no header: what callers say
    /// is read by `builder(..).http().build()`, `.grpc()` or [`read`](DeadlineBuilder::read).
    ///
    /// # Panics
    ///
    /// If `within` is zero.
    #[must_use]
    pub fn new(name: impl Into<Name>, within: Duration) -> Self {
        Self::builder(name, within).build()
    }

    /// Starts the making of a layer that gives calls so much time, at most.
    pub fn builder(name: impl Into<Name>, within: Duration) -> DeadlineBuilder {
        Self::from_config(name, DeadlineConfig::new(within))
    }

    /// Starts the making of a layer with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: DeadlineConfig) -> DeadlineBuilder {
        DeadlineBuilder {
            name: name.into(),
            config,
            registry: None,
            deadlines: Undeclared,
            classify: ErrorsAreFailures,
            finish: AtResponse,
        }
    }
}

impl<D, C, N> DeadlineLayer<D, C, N> {
    /// Returns a handle on the layer.
    #[must_use]
    pub fn handle(&self) -> DeadlineHandle {
        DeadlineHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, D: Clone, C: Clone, N: Clone> Layer<S> for DeadlineLayer<D, C, N> {
    type Service = Deadline<S, D, C, N>;

    fn layer(&self, inner: S) -> Self::Service {
        Deadline::new(
            inner,
            Arc::clone(&self.shared),
            self.deadlines.clone(),
            self.classify.clone(),
            self.finish.clone(),
        )
    }
}

/// Makes a [`DeadlineLayer`].
///
/// What is plain data is described at the field of the same name of [`DeadlineConfig`], with its
/// range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct DeadlineBuilder<D = Undeclared, C = ErrorsAreFailures, N = AtResponse> {
    name: Name,
    config: DeadlineConfig,
    registry: Option<Registry>,
    deadlines: D,
    classify: C,
    finish: N,
}

impl<D, C, N> DeadlineBuilder<D, C, N> {
    /// Sets which share of the calls is refused that come without time left. Default: 0.9.
    pub fn max_refused(mut self, share: f64) -> Self {
        self.config.max_refused = share;
        self
    }

    /// Keeps track of the services that a call comes through, of which this one is called `name`.
    pub fn hop(mut self, name: impl Into<String>) -> Self {
        self.config.hop = Some(name.into());
        self
    }

    /// Sets whether it is recorded how much time calls have left as they come. Default: false.
    pub fn record_times(mut self, record: bool) -> Self {
        self.config.record_times = record;
        self
    }

    /// Sets whether calls are refused and ended, or only counted. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Reads by a closure how long the caller of a request waits. `None`: it does not say.
    ///
    /// A closure knows nothing of bodies: over HTTP they are not cut off then. What it reads stays
    /// on a request that is spared, for whoever passes that on.
    pub fn read<Req, F>(self, read: F) -> DeadlineBuilder<ReadDeadlineFn<F, Req>, C, N>
    where
        F: Fn(&Req) -> Option<Duration>,
    {
        self.set_deadlines(ReadDeadlineFn::new(read))
    }

    /// Sets how it is read off a request how long its caller waits. Default: not at all.
    pub fn deadlines<D2>(self, deadlines: D2) -> DeadlineBuilder<D2, C, N> {
        self.set_deadlines(deadlines)
    }

    /// Sets what counts as a failure. Default: [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> DeadlineBuilder<D, C2, N> {
        self.set_classifier(classify)
    }

    /// Sets what counts as a failure by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> DeadlineBuilder<D, ClassifyFn<F, Res>, N>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over. Default: [`AtResponse`].
    pub fn finish<N2>(self, finish: N2) -> DeadlineBuilder<D, C, N2> {
        self.set_finish(finish)
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> DeadlineLayer<D, C, N> {
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
    pub fn try_build(self) -> Result<DeadlineLayer<D, C, N>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(DeadlineLayer {
            shared: Shared::new(self.name, self.config, &registry),
            deadlines: self.deadlines,
            classify: self.classify,
            finish: self.finish,
        })
    }
}

impl<D, C, N> SetDeadlines for DeadlineBuilder<D, C, N> {
    type With<D2> = DeadlineBuilder<D2, C, N>;

    fn set_deadlines<D2>(self, deadlines: D2) -> Self::With<D2> {
        DeadlineBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            deadlines,
            classify: self.classify,
            finish: self.finish,
        }
    }
}

impl<D, C, N> SetClassifier for DeadlineBuilder<D, C, N> {
    type With<C2> = DeadlineBuilder<D, C2, N>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        DeadlineBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            deadlines: self.deadlines,
            classify,
            finish: self.finish,
        }
    }
}

impl<D, C, N> SetFinish for DeadlineBuilder<D, C, N> {
    type With<N2> = DeadlineBuilder<D, C, N2>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        DeadlineBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            deadlines: self.deadlines,
            classify: self.classify,
            finish,
        }
    }
}

/// It sends nothing again.
impl<D, C, N> SetRepeat for DeadlineBuilder<D, C, N> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// It has nothing to say on the answers of others.
impl<D, C, N> SetNotes for DeadlineBuilder<D, C, N> {
    type With<T> = Self;

    fn set_notes<T>(self, _: T) -> Self {
        self
    }
}
