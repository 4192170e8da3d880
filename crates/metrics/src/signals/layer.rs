use std::sync::Arc;

use tower_layer::Layer;
use watertight_core::{
    AtResponse, ClassifyFn, DynError, ErrorsAreFailures, Name, Outcome, SetClassifier,
    SetDeadlines, SetFinish, SetNotes, SetRepeat, Stripes,
};

use super::shared::Shared;
use super::{Signals, SignalsHandle};
use crate::Registry;

/// Wraps services in [`Signals`], which measure the four golden signals together: latency, traffic,
/// errors, and saturation as the calls in flight.
///
/// Put it outermost to see what callers see, innermost to see what the service does. Over HTTP, say
/// `.http()` or `.grpc()` on the builder, or a 503 counts as a success.
///
/// # Example
///
/// ```
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() -> Result<(), tower::BoxError> {
/// use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
/// use watertight_metrics::SignalsLayer;
///
/// let layer = SignalsLayer::new("orders");
/// let signals = layer.handle();
/// let mut orders = ServiceBuilder::new()
///     .layer(layer)
///     .service_fn(|_: &'static str| async { Err::<(), BoxError>("sold out".into()) });
///
/// orders.ready().await?.call("order").await.unwrap_err();
///
/// assert_eq!(signals.snapshot().calls.failure, 1);
/// assert_eq!(signals.in_flight(), 0);
/// # Ok(())
/// # }
/// ```
///
/// # Readiness
///
/// [`Signals`] is ready when the inner service is.
///
/// # Cancellation
///
/// A call that is dropped counts as cancelled and has no latency. A panic of the inner service is
/// a failure, and goes on to the caller.
///
/// # Errors
///
/// None of its own. Those of the inner service pass untouched.
///
/// # Sharing
///
/// The signals belong to the layer: all services that it or its clones make are one in the
/// registry, until the last call through them has ended.
///
/// # Telemetry
///
/// `watertight_calls_total`, `watertight_call_duration_seconds` and `watertight_in_flight`, with
/// `layer = "signals"`. No events.
#[derive(Clone, Debug)]
pub struct SignalsLayer<C = ErrorsAreFailures, N = AtResponse> {
    shared: Arc<Shared>,
    stripes: Stripes<Arc<Shared>>,
    classify: C,
    finish: N,
}

impl SignalsLayer {
    /// Measures what is called `name`. An error of the inner service is a failure.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self::builder(name).build()
    }

    /// Starts the making of a layer.
    pub fn builder(name: impl Into<Name>) -> SignalsBuilder {
        SignalsBuilder {
            name: name.into(),
            registry: None,
            classify: ErrorsAreFailures,
            finish: AtResponse,
        }
    }
}

impl<C, N> SignalsLayer<C, N> {
    /// Returns a handle on the signals.
    #[must_use]
    pub fn handle(&self) -> SignalsHandle {
        SignalsHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, N: Clone> Layer<S> for SignalsLayer<C, N> {
    type Service = Signals<S, C, N>;

    fn layer(&self, inner: S) -> Self::Service {
        Signals::new(
            inner,
            self.stripes.clone(),
            self.classify.clone(),
            self.finish.clone(),
        )
    }
}

/// Makes a [`SignalsLayer`].
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct SignalsBuilder<C = ErrorsAreFailures, N = AtResponse> {
    name: Name,
    registry: Option<Registry>,
    classify: C,
    finish: N,
}

impl<C, N> SignalsBuilder<C, N> {
    /// Sets the registry that the layer reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what counts as a failure. Default: [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> SignalsBuilder<C2, N> {
        self.set_classifier(classify)
    }

    /// Sets what counts as a failure by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> SignalsBuilder<ClassifyFn<F, Res>, N>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over. Default: [`AtResponse`].
    pub fn finish<N2>(self, finish: N2) -> SignalsBuilder<C, N2> {
        self.set_finish(finish)
    }

    /// Makes the layer.
    #[must_use]
    pub fn build(self) -> SignalsLayer<C, N> {
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        let shared = Shared::new(self.name, &registry);
        SignalsLayer {
            stripes: Stripes::new(|_| Arc::clone(&shared)),
            shared,
            classify: self.classify,
            finish: self.finish,
        }
    }
}

impl<C, N> SetClassifier for SignalsBuilder<C, N> {
    type With<C2> = SignalsBuilder<C2, N>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        SignalsBuilder {
            name: self.name,
            registry: self.registry,
            classify,
            finish: self.finish,
        }
    }
}

impl<C, N> SetFinish for SignalsBuilder<C, N> {
    type With<N2> = SignalsBuilder<C, N2>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        SignalsBuilder {
            name: self.name,
            registry: self.registry,
            classify: self.classify,
            finish,
        }
    }
}

/// It sends nothing again.
impl<C, N> SetRepeat for SignalsBuilder<C, N> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// It has nothing to say on the answers of others.
impl<C, N> SetNotes for SignalsBuilder<C, N> {
    type With<T> = Self;

    fn set_notes<T>(self, _: T) -> Self {
        self
    }
}

/// It only listens.
impl<C, N> SetDeadlines for SignalsBuilder<C, N> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
