use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{
    ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Key, KeyFn, Labelled, Mode, Name,
    Outcome, SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat, Unkeyed,
};
use watertight_metrics::Registry;

use crate::shared::Shared;
use crate::{Adaptive, AsConfigured, TimeLimit, Timeout, TimeoutConfig, TimeoutFn, TimeoutHandle};

/// Wraps services in [`Timeout`], which share one limit and what they know of durations.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct TimeoutLayer<C = ErrorsAreFailures, T = AsConfigured, K = Unkeyed> {
    shared: Arc<Shared>,
    classify: C,
    per_request: T,
    key: K,
}

impl TimeoutLayer {
    /// Creates a timeout by which all calls are ended after `limit`.
    ///
    /// # Panics
    ///
    /// If `limit` is zero.
    #[must_use]
    pub fn new(name: impl Into<Name>, limit: Duration) -> Self {
        Self::builder(name).limit(limit).build()
    }

    /// Starts the making of a timeout that does not change by itself.
    pub fn builder(name: impl Into<Name>) -> TimeoutBuilder {
        TimeoutBuilder::new(name.into(), TimeoutConfig::default())
    }

    /// Starts the making of a timeout that follows the service.
    pub fn adaptive(name: impl Into<Name>) -> TimeoutBuilder<Learnt> {
        let config = TimeoutConfig {
            limit: Adaptive::default().into(),
            ..TimeoutConfig::default()
        };
        TimeoutBuilder::new(name.into(), config)
    }

    /// Starts the making of a timeout with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: TimeoutConfig) -> TimeoutBuilder<FromConfig> {
        TimeoutBuilder::new(name.into(), config)
    }
}

impl<C, T, K> TimeoutLayer<C, T, K> {
    /// Returns a handle on the timeout.
    #[must_use]
    pub fn handle(&self) -> TimeoutHandle {
        TimeoutHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, T: Clone, K: Clone> Layer<S> for TimeoutLayer<C, T, K> {
    type Service = Timeout<S, C, T, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Timeout::new(
            inner,
            Arc::clone(&self.shared),
            self.classify.clone(),
            self.per_request.clone(),
            self.key.clone(),
        )
    }
}

/// Makes a [`TimeoutLayer`].
///
/// `L` says where the limit comes from: [`Fixed`], [`Learnt`] or [`FromConfig`]. What is plain data
/// is described at the field of the same name of [`TimeoutConfig`] and [`Adaptive`], with its range
/// and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct TimeoutBuilder<L = Fixed, C = ErrorsAreFailures, T = AsConfigured, K = Unkeyed> {
    name: Name,
    config: TimeoutConfig,
    registry: Option<Registry>,
    classify: C,
    per_request: T,
    key: K,
    limit: PhantomData<L>,
}

/// The limit is what the builder, or the request, says: [`TimeoutLayer::builder`].
#[derive(Clone, Copy, Debug)]
pub struct Fixed;

/// The limit is learnt: [`TimeoutLayer::adaptive`].
#[derive(Clone, Copy, Debug)]
pub struct Learnt;

/// The limit is what a config says, either of the two: [`TimeoutLayer::from_config`].
#[derive(Clone, Copy, Debug)]
pub struct FromConfig;

/// A limit that may be learnt, by key if asked.
pub trait MayLearn {}

/// A limit that is not learnt but where a config says so.
pub trait MayBeFixed {}

impl MayLearn for Learnt {}
impl MayLearn for FromConfig {}
impl MayBeFixed for Fixed {}
impl MayBeFixed for FromConfig {}

impl<L> TimeoutBuilder<L> {
    fn new(name: Name, config: TimeoutConfig) -> Self {
        Self {
            name,
            config,
            registry: None,
            classify: ErrorsAreFailures,
            per_request: AsConfigured,
            key: Unkeyed,
            limit: PhantomData,
        }
    }
}

impl<C, T, K> TimeoutBuilder<Fixed, C, T, K> {
    /// Ends calls after `limit`. Without it, calls end at the deadline of their
    /// [`Context`](watertight_core::Context), or as [`per_request`](Self::per_request) says.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.config.limit = TimeLimit::Fixed(limit);
        self
    }
}

impl<L: MayBeFixed, C, T, K> TimeoutBuilder<L, C, T, K> {
    /// Ends each call after what `timeout` says of its request, whatever the limit is. `None`, and
    /// `Duration::MAX`, is: not at all. Zero is: refuse it at once.
    pub fn per_request<Req, F>(self, timeout: F) -> TimeoutBuilder<L, C, TimeoutFn<F, Req>, K>
    where
        F: Fn(&Req) -> Option<Duration>,
    {
        self.per_request_by(TimeoutFn::new(timeout))
    }

    /// [`per_request`](Self::per_request) by a type.
    pub fn per_request_by<T2>(self, per_request: T2) -> TimeoutBuilder<L, C, T2, K> {
        TimeoutBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            classify: self.classify,
            per_request,
            key: self.key,
            limit: PhantomData,
        }
    }
}

impl<C, T, K> TimeoutBuilder<Learnt, C, T, K> {
    /// Sets the share of calls that are no slower than usual. Default: 0.95.
    pub fn percentile(self, percentile: f64) -> Self {
        self.adapt(|limit| limit.percentile = percentile)
    }

    /// Sets how many times as long as the percentile a call may take. Default: 1.5.
    pub fn multiplier(self, multiplier: f64) -> Self {
        self.adapt(|limit| limit.multiplier = multiplier)
    }

    /// Sets the shortest timeout. Default: 10 ms.
    pub fn min(self, min: Duration) -> Self {
        self.adapt(|limit| limit.min = min)
    }

    /// Sets the longest timeout. Default: 60 s.
    pub fn max(self, max: Duration) -> Self {
        self.adapt(|limit| limit.max = max)
    }

    /// Sets the timeout during the warm-up. Default: the longest.
    pub fn initial(self, initial: Duration) -> Self {
        self.adapt(|limit| limit.initial = Some(initial))
    }

    /// Sets how many calls make the warm-up. Default: 100.
    pub fn warmup(self, calls: u32) -> Self {
        self.adapt(|limit| limit.warmup = calls)
    }

    /// Sets the largest share of calls that may be cut off though they would have ended. Default:
    /// 0.01.
    pub fn max_cut(self, share: f64) -> Self {
        self.adapt(|limit| limit.max_cut = share)
    }

    /// Sets the largest share of calls that go on when their time is up, to see how long they take.
    /// Default: 0.01.
    pub fn explore(self, share: f64) -> Self {
        self.adapt(|limit| limit.explore = share)
    }

    fn adapt(mut self, set: impl FnOnce(&mut Adaptive)) -> Self {
        if let TimeLimit::Adaptive(limit) = &mut self.config.limit {
            set(limit);
        }
        self
    }
}

impl<L: MayLearn, C, T, K> TimeoutBuilder<L, C, T, K> {
    /// Learns a timeout for each key. Calls for which `key` returns `None` share one.
    pub fn key<Req, F, R>(self, key: F) -> TimeoutBuilder<L, C, T, KeyFn<F, Req>>
    where
        F: Fn(&Req) -> R,
        R: Into<Option<Key>>,
    {
        self.key_by(KeyFn::new(key))
    }

    /// [`key`](Self::key) by a type.
    pub fn key_by<K2>(self, key: K2) -> TimeoutBuilder<L, C, T, K2> {
        TimeoutBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            classify: self.classify,
            per_request: self.per_request,
            key,
            limit: PhantomData,
        }
    }

    /// Gives each key a label, for [`TimeoutHandle::key_label`]. It is made once for each timeout,
    /// from the request that first had the key, under a lock: `label` must not use the handle.
    pub fn key_label<Req, F>(self, label: F) -> TimeoutBuilder<L, C, T, Labelled<K, F, Req>>
    where
        K: Clone,
        F: Fn(&Req) -> String,
    {
        let key = Labelled::new(self.key.clone(), label);
        self.key_by(key)
    }

    /// Sets how many keys have a timeout of their own. Default: 1,000.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.config.max_keys = keys;
        self
    }

    /// Sets how long an idle key is remembered. Default: 10 minutes.
    pub fn key_idle(mut self, time: Duration) -> Self {
        self.config.key_idle = time;
        self
    }
}

impl<L, C, T, K> TimeoutBuilder<L, C, T, K> {
    /// Refuses calls where the inner service takes longer than `limit` to become ready. Default:
    /// off.
    pub fn ready(mut self, limit: Duration) -> Self {
        self.config.ready = Some(limit);
        self
    }

    /// Ends calls so long before the deadline of their [`Context`](watertight_core::Context).
    /// Default: 0.
    pub fn reserve(mut self, time: Duration) -> Self {
        self.config.reserve = time;
        self
    }

    /// Measures how long calls take. Default: false.
    pub fn durations(mut self, measure: bool) -> Self {
        self.config.durations = measure;
        self
    }

    /// Sets whether calls are ended, or only counted. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the timeout reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what counts as a failure. Default: [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> TimeoutBuilder<L, C2, T, K> {
        self.set_classifier(classify)
    }

    /// Sets what counts as a failure by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> TimeoutBuilder<L, ClassifyFn<F, Res>, T, K>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> TimeoutLayer<C, T, K> {
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
    pub fn try_build(self) -> Result<TimeoutLayer<C, T, K>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(TimeoutLayer {
            shared: Shared::new(self.name, self.config, &registry),
            classify: self.classify,
            per_request: self.per_request,
            key: self.key,
        })
    }
}

impl<L, C, T, K> SetClassifier for TimeoutBuilder<L, C, T, K> {
    type With<C2> = TimeoutBuilder<L, C2, T, K>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        TimeoutBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            classify,
            per_request: self.per_request,
            key: self.key,
            limit: PhantomData,
        }
    }
}

/// A timeout ends with the head of the answer. Bodies have timeouts of their own.
impl<L, C, T, K> SetFinish for TimeoutBuilder<L, C, T, K> {
    type With<N> = Self;

    fn set_finish<N>(self, _: N) -> Self {
        self
    }
}

/// A timeout sends nothing again.
impl<L, C, T, K> SetRepeat for TimeoutBuilder<L, C, T, K> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// A timeout has nothing to say on the answers of others.
impl<L, C, T, K> SetNotes for TimeoutBuilder<L, C, T, K> {
    type With<N> = Self;

    fn set_notes<N>(self, _: N) -> Self {
        self
    }
}

/// A timeout goes by the deadline of the context.
impl<L, C, T, K> SetDeadlines for TimeoutBuilder<L, C, T, K> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
