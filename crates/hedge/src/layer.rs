use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{
    Budget, ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Mode, Name, Outcome, RepeatIf,
    SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat, Undecided,
};
use watertight_metrics::Registry;

use crate::shared::Shared;
use crate::target::Replica;
use crate::{Hedge, HedgeConfig, HedgeHandle, Latencies, SameService, Trigger};

/// Wraps services in [`Hedge`], which share what they know of latencies and one budget.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct HedgeLayer<C = ErrorsAreFailures, R = Undecided, T = SameService> {
    shared: Arc<Shared>,
    classify: C,
    repeat: R,
    target: T,
}

impl HedgeLayer {
    /// Starts the making of a hedge.
    pub fn builder(name: impl Into<Name>) -> HedgeBuilder {
        HedgeBuilder {
            name: name.into(),
            config: HedgeConfig::default(),
            budget: HedgeBuilder::BUDGET.into(),
            registry: None,
            classify: ErrorsAreFailures,
            repeat: Undecided,
            target: SameService,
        }
    }

    /// Starts the making of a hedge with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: HedgeConfig) -> HedgeBuilder {
        HedgeBuilder {
            config,
            ..Self::builder(name)
        }
    }
}

impl<C, R, T> HedgeLayer<C, R, T> {
    /// Returns a handle on the hedge.
    #[must_use]
    pub fn handle(&self) -> HedgeHandle {
        HedgeHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, R: Clone, T: Clone> Layer<S> for HedgeLayer<C, R, T> {
    type Service = Hedge<S, C, R, T>;

    fn layer(&self, inner: S) -> Self::Service {
        Hedge::new(
            inner,
            Arc::clone(&self.shared),
            self.classify.clone(),
            self.repeat.clone(),
            self.target.clone(),
        )
    }
}

/// Makes a [`HedgeLayer`].
///
/// What is plain data is described at the field of the same name of [`HedgeConfig`], with its
/// range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct HedgeBuilder<C = ErrorsAreFailures, R = Undecided, T = SameService> {
    name: Name,
    config: HedgeConfig,
    budget: Budget,
    registry: Option<Registry>,
    classify: C,
    repeat: R,
    target: T,
}

impl HedgeBuilder {
    /// The share of calls that may be hedged: more than the percentile asks for, and little enough
    /// for a service in which everything has become slow.
    pub const BUDGET: f64 = 0.05;
}

impl<C, R, T> HedgeBuilder<C, R, T> {
    /// Hedges a call that takes longer than this share of the recent ones. Default: 0.98.
    pub fn after_percentile(self, percentile: f64) -> Self {
        self.trigger(Trigger::Percentile(percentile))
    }

    /// Hedges a call that takes longer than `delay`.
    pub fn after(self, delay: Duration) -> Self {
        self.trigger(Trigger::After(delay))
    }

    /// Hedges a call that takes longer than `delay` says. `None` is: not this one.
    ///
    /// ```
    /// use std::time::Duration;
    /// use watertight_hedge::HedgeLayer;
    ///
    /// let never_early = HedgeLayer::builder("search")
    ///     .after_fn(|latencies| Some(latencies.quantile(0.95)?.max(Duration::from_millis(20))));
    /// ```
    pub fn after_fn(
        self,
        delay: impl Fn(&Latencies) -> Option<Duration> + Send + Sync + 'static,
    ) -> Self {
        self.trigger(Trigger::custom(delay))
    }

    /// Sets when a hedge is sent.
    pub fn trigger(mut self, trigger: Trigger) -> Self {
        self.config.trigger = trigger;
        self
    }

    /// Sets how many hedges one call may send. Default: 1.
    pub fn max_hedges(mut self, hedges: u32) -> Self {
        self.config.max_hedges = hedges;
        self
    }

    /// Sets how many calls must have been answered before latencies are known. Default: 100.
    pub fn min_samples(mut self, samples: u32) -> Self {
        self.config.min_samples = samples;
        self
    }

    /// Sets what hedges are paid from: a share of the calls, or a [`Budget`] that other layers
    /// share. Default: 0.05.
    pub fn budget(mut self, budget: impl Into<Budget>) -> Self {
        self.budget = budget.into();
        self
    }

    /// Sets whether hedges are sent, or only counted. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the hedge reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what counts as a failure. Default: [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> HedgeBuilder<C2, R, T> {
        self.set_classifier(classify)
    }

    /// Sets what counts as a failure by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> HedgeBuilder<ClassifyFn<F, Res>, R, T>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets whether and how a request is sent twice. There is no default: without it, or `.http()`
    /// or `.grpc()`, the layer makes no service.
    pub fn repeat<R2>(self, repeat: R2) -> HedgeBuilder<C, R2, T> {
        self.set_repeat(repeat)
    }

    /// Sets which requests may be sent twice by a closure.
    pub fn repeat_if<Req, F>(self, pick: F) -> HedgeBuilder<C, RepeatIf<F, Req>, T>
    where
        F: Fn(&Req) -> bool,
    {
        self.set_repeat(RepeatIf::new(pick))
    }

    /// Sends hedges to `replica`, and not to the service that is hedged.
    ///
    /// Each call that may be hedged takes a clone of it along.
    pub fn to<T2>(self, replica: T2) -> HedgeBuilder<C, R, Replica<T2>>
    where
        T2: Clone + Send + Sync,
    {
        HedgeBuilder {
            name: self.name,
            config: self.config,
            budget: self.budget,
            registry: self.registry,
            classify: self.classify,
            repeat: self.repeat,
            target: Replica::new(replica),
        }
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> HedgeLayer<C, R, T> {
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
    pub fn try_build(self) -> Result<HedgeLayer<C, R, T>, ConfigError> {
        self.config.validate()?;
        self.budget.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(HedgeLayer {
            shared: Shared::new(self.name, self.config, self.budget, &registry),
            classify: self.classify,
            repeat: self.repeat,
            target: self.target,
        })
    }
}

impl<C, R, T> SetClassifier for HedgeBuilder<C, R, T> {
    type With<C2> = HedgeBuilder<C2, R, T>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        HedgeBuilder {
            name: self.name,
            config: self.config,
            budget: self.budget,
            registry: self.registry,
            classify,
            repeat: self.repeat,
            target: self.target,
        }
    }
}

impl<C, R, T> SetRepeat for HedgeBuilder<C, R, T> {
    type With<R2> = HedgeBuilder<C, R2, T>;

    fn set_repeat<R2>(self, repeat: R2) -> Self::With<R2> {
        HedgeBuilder {
            name: self.name,
            config: self.config,
            budget: self.budget,
            registry: self.registry,
            classify: self.classify,
            repeat,
            target: self.target,
        }
    }
}

/// A hedge ends with the head of the answer that it takes: the others are gone by then.
impl<C, R, T> SetFinish for HedgeBuilder<C, R, T> {
    type With<N> = Self;

    fn set_finish<N>(self, _: N) -> Self {
        self
    }
}

/// A hedge has nothing to say on the answers of others.
impl<C, R, T> SetNotes for HedgeBuilder<C, R, T> {
    type With<N> = Self;

    fn set_notes<N>(self, _: N) -> Self {
        self
    }
}

/// A hedge goes by the deadline of the context.
impl<C, R, T> SetDeadlines for HedgeBuilder<C, R, T> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
