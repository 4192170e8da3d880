use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tower_layer::Layer;
use watertight_core::{
    AtResponse, ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Mode, Name, Outcome,
    SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat,
};
use watertight_metrics::Registry;

use super::config::IsolateConfig;
use super::handle::IsolateHandle;
use super::pool::Pool;
use super::service::Isolate;
use super::shared::Shared;
use crate::Order;

/// Runs calls on threads of their own, so many at once, and bounds how many wait for one.
///
/// Work that keeps its thread, because it computes for long or blocks, takes that thread from all
/// other tasks of an async runtime: a few such calls, and nothing else is served. This is the
/// thread-pool bulkhead. The call, from its first line, runs on a thread where it harms nobody, and
/// what came of it goes back to where it was made.
///
/// Use it around what computes for more than some 100 us between two awaits, and around clients that
/// block. It is no use around calls that await: a [`BulkheadLayer`](crate::BulkheadLayer) bounds
/// those at a fraction of the cost.
///
/// ```
/// use std::thread;
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
/// use watertight_bulkhead::IsolateLayer;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), BoxError> {
/// let mut resize = ServiceBuilder::new()
///     .layer(IsolateLayer::new("images", 4))
///     .service_fn(|_: &'static str| async {
///         // A long computation.
///         Ok::<_, BoxError>(thread::current().id())
///     });
///
/// let ran_on = resize.ready().await?.call("cat.png").await?;
/// assert_ne!(ran_on, thread::current().id());
/// # Ok(())
/// # }
/// ```
///
/// # Where calls run
///
/// Each on a thread of the layer's own, from its first line to its last, where it may block as it
/// likes. Timers, sockets and spawned tasks of the call are those of a runtime of the layer's own,
/// with one more thread. Threads are started when they are wanted, and end when they have had nothing
/// to do for 10 s. With [`runtime`](IsolateBuilder::runtime), calls are tasks of a runtime of yours.
///
/// A test with a paused clock does not see that such a thread is at work, and lets the time of its
/// timeouts pass at once: give the layer `Handle::current()` there.
///
/// # What crosses over
///
/// The [`Context`](watertight_core::Context), the tracing span and the subscriber of the caller go
/// along with the call. Its response, its error or its panic comes back. What else is bound to the
/// task or the thread stays behind.
///
/// # Readiness
///
/// The service is ready when the inner one is, and the ready instance leaves with the call. A call
/// that has to wait takes a clone along, which is driven to readiness when it runs.
///
/// # Cancellation
///
/// A call that is dropped leaves the queue. One that runs is dropped on its thread at its next await.
/// What does not await cannot be stopped: it runs to its end and holds its place for as long.
///
/// # Errors
///
/// A refused call fails with a [`Rejection`](watertight_core::Rejection): `BulkheadFull`,
/// `QueueTimeout` or `DeadlineExceeded`, as in the [crate docs](crate#errors), and `NotReady` if the
/// [`runtime`](IsolateBuilder::runtime) has been shut down.
///
/// # Sharing
///
/// The threads belong to the layer: all services that one layer or its clones make share them. They
/// end with the last of those, when the last call has ended.
///
/// # Cost
///
/// Some microseconds, and allocations: two switches of threads, or a task.
///
/// # Defaults and telemetry
///
/// No queue, as for [`BulkheadConfig`](crate::BulkheadConfig), whose reasons hold here too. Metrics
/// are those of a bulkhead without keys, with `layer = "isolate"`.
#[derive(Clone, Debug)]
pub struct IsolateLayer<C = ErrorsAreFailures, N = AtResponse> {
    shared: Arc<Shared>,
    classify: C,
    finish: N,
}

impl IsolateLayer {
    /// Creates a layer that lets `limit` calls run at once, each on a thread, and refuses others.
    ///
    /// # Panics
    ///
    /// If `limit` is 0, or the system lets no runtime start.
    #[must_use]
    pub fn new(name: impl Into<Name>, limit: usize) -> Self {
        Self::builder(name, limit).build()
    }

    /// Starts the making of a layer that lets `limit` calls run at once.
    pub fn builder(name: impl Into<Name>, limit: usize) -> IsolateBuilder {
        Self::from_config(name, IsolateConfig::new(limit))
    }

    /// Starts the making of a layer with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: IsolateConfig) -> IsolateBuilder {
        IsolateBuilder {
            name: name.into(),
            config,
            runtime: None,
            registry: None,
            classify: ErrorsAreFailures,
            finish: AtResponse,
        }
    }
}

impl<C, N> IsolateLayer<C, N> {
    /// Returns a handle on the layer.
    #[must_use]
    pub fn handle(&self) -> IsolateHandle {
        IsolateHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, N: Clone> Layer<S> for IsolateLayer<C, N> {
    type Service = Isolate<S, C, N>;

    fn layer(&self, inner: S) -> Self::Service {
        let shared = Arc::clone(&self.shared);
        Isolate::new(inner, shared, self.classify.clone(), self.finish.clone())
    }
}

/// Makes an [`IsolateLayer`].
///
/// What is plain data is described at the field of the same name of [`IsolateConfig`], with its range
/// and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct IsolateBuilder<C = ErrorsAreFailures, N = AtResponse> {
    name: Name,
    config: IsolateConfig,
    runtime: Option<Handle>,
    registry: Option<Registry>,
    classify: C,
    finish: N,
}

impl<C, N> IsolateBuilder<C, N> {
    /// Sets how many calls may wait for another to end. It needs [`max_wait`](Self::max_wait).
    /// Default: 0.
    pub fn max_queue(mut self, calls: usize) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// Sets how long a call may wait. It needs [`max_queue`](Self::max_queue). Default: 0.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.config.max_wait = time;
        self
    }

    /// Sets which of the calls that wait is served first. How important a call is, its
    /// [`Context`](watertight_core::Context) says. Default: [`Order::Fifo`].
    pub fn order(mut self, order: Order) -> Self {
        self.config.order = order;
        self
    }

    /// Sets whether calls run apart and may be refused. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Runs calls as tasks of this runtime, which several layers may share. Their number is bounded
    /// all the same. It suits calls that compute and await by turns; they must not call what blocks
    /// on a runtime. Default: on threads of the layer's own.
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what answers mean, to the counts. Default: [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> IsolateBuilder<C2, N> {
        self.set_classifier(classify)
    }

    /// Sets what answers mean by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> IsolateBuilder<ClassifyFn<F, Res>, N>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over, to the counts. Its thread is free with the response in any case.
    /// Default: [`AtResponse`].
    pub fn finish<N2>(self, finish: N2) -> IsolateBuilder<C, N2> {
        self.set_finish(finish)
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range, or the system lets no runtime start. The message names the
    /// field, the value and the range.
    pub fn build(self) -> IsolateLayer<C, N> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range, or the system lets no runtime start.
    pub fn try_build(self) -> Result<IsolateLayer<C, N>, ConfigError> {
        self.config.validate()?;
        let pool = match self.runtime {
            Some(runtime) => Pool::Runtime(runtime),
            None => Pool::of_threads(self.name).map_err(|error| {
                ConfigError::new("runtime", error, "one that the system lets start")
            })?,
        };
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(IsolateLayer {
            shared: Shared::new(self.name, self.config, pool, &registry),
            classify: self.classify,
            finish: self.finish,
        })
    }
}

impl<C, N> SetClassifier for IsolateBuilder<C, N> {
    type With<C2> = IsolateBuilder<C2, N>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        IsolateBuilder {
            name: self.name,
            config: self.config,
            runtime: self.runtime,
            registry: self.registry,
            classify,
            finish: self.finish,
        }
    }
}

impl<C, N> SetFinish for IsolateBuilder<C, N> {
    type With<N2> = IsolateBuilder<C, N2>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        IsolateBuilder {
            name: self.name,
            config: self.config,
            runtime: self.runtime,
            registry: self.registry,
            classify: self.classify,
            finish,
        }
    }
}

/// Nothing is sent again.
impl<C, N> SetRepeat for IsolateBuilder<C, N> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// There is nothing to say on the answers of others.
impl<C, N> SetNotes for IsolateBuilder<C, N> {
    type With<T> = Self;

    fn set_notes<T>(self, _: T) -> Self {
        self
    }
}

/// A call that runs apart takes its deadline along in the `Context`.
impl<C, N> SetDeadlines for IsolateBuilder<C, N> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
