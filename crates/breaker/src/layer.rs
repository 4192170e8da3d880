use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{
    AtResponse, ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Key, KeyFn, Labelled, Mode,
    Name, Outcome, SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat, Unkeyed, Window,
};
use watertight_metrics::Registry;

use crate::shared::Shared;
use crate::{Breaker, BreakerConfig, BreakerHandle, OpenBackoff, Recovery, State};

/// Wraps services in [`Breaker`], all behind one circuit breaker.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct BreakerLayer<C = ErrorsAreFailures, N = AtResponse, K = Unkeyed> {
    shared: Arc<Shared>,
    classify: C,
    finish: N,
    key: K,
}

impl BreakerLayer {
    /// Creates a breaker with the default settings. An error of the inner service is a failure.
    #[must_use]
    pub fn new(name: impl Into<Name>) -> Self {
        Self::builder(name).build()
    }

    /// Starts the making of a breaker.
    pub fn builder(name: impl Into<Name>) -> BreakerBuilder {
        BreakerBuilder {
            name: name.into(),
            config: BreakerConfig::default(),
            registry: None,
            classify: ErrorsAreFailures,
            finish: AtResponse,
            key: Unkeyed,
        }
    }

    /// Starts the making of a breaker with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: BreakerConfig) -> BreakerBuilder {
        BreakerBuilder {
            config,
            ..Self::builder(name)
        }
    }
}

impl<C, N, K> BreakerLayer<C, N, K> {
    /// Returns a handle on the breaker.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        BreakerHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, N: Clone, K: Clone> Layer<S> for BreakerLayer<C, N, K> {
    type Service = Breaker<S, C, N, K>;

    fn layer(&self, inner: S) -> Self::Service {
        Breaker::new(
            inner,
            Arc::clone(&self.shared),
            self.classify.clone(),
            self.finish.clone(),
            self.key.clone(),
        )
    }
}

/// Makes a [`BreakerLayer`].
///
/// What is plain data is described at the field of the same name of [`BreakerConfig`], with its
/// range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BreakerBuilder<C = ErrorsAreFailures, N = AtResponse, K = Unkeyed> {
    name: Name,
    config: BreakerConfig,
    registry: Option<Registry>,
    classify: C,
    finish: N,
    key: K,
}

impl<C, N, K> BreakerBuilder<C, N, K> {
    /// Sets the share of failures at which the breaker opens. Default: 0.5.
    pub fn failure_rate(mut self, rate: f64) -> Self {
        self.config.failure_rate = rate;
        self
    }

    /// Sets how many calls must be in the window before a rate counts. Default: 20.
    pub fn min_calls(mut self, calls: u32) -> Self {
        self.config.min_calls = calls;
        self
    }

    /// Sets which calls the rates are taken over. Default: the last 100.
    pub fn window(mut self, window: Window) -> Self {
        self.config.window = window;
        self
    }

    /// Counts calls that take longer than `threshold` as slow. Default: off.
    pub fn slow_call(mut self, threshold: Duration) -> Self {
        self.config.slow_call = Some(threshold);
        self
    }

    /// Sets the share of slow calls at which the breaker opens. Default: 1.
    pub fn slow_rate(mut self, rate: f64) -> Self {
        self.config.slow_rate = rate;
        self
    }

    /// Measures how long calls take also where slow calls are not configured. Default: false.
    pub fn durations(mut self, measure: bool) -> Self {
        self.config.durations = measure;
        self
    }

    /// Sets how many failures in a row open the breaker. Default: off.
    pub fn consecutive_failures(mut self, failures: u32) -> Self {
        self.config.consecutive_failures = failures;
        self
    }

    /// Sets how long the breaker stays open. Default: 60 s.
    pub fn open_for(mut self, time: Duration) -> Self {
        self.config.open_for = time;
        self
    }

    /// Multiplies the open time by `factor`, up to `max`, for each time that the probes fail.
    /// Default: off.
    pub fn open_backoff(mut self, factor: f64, max: Duration) -> Self {
        self.config.open_backoff = Some(OpenBackoff { factor, max });
        self
    }

    /// Makes each open time longer or shorter by up to this share of it. Default: 0.
    pub fn open_jitter(mut self, share: f64) -> Self {
        self.config.open_jitter = share;
        self
    }

    /// Sets the seed of the jitter, for runs that repeat. Default: random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = Some(seed);
        self
    }

    /// Sets how many probes may be in flight at a time. Default: 3.
    pub fn half_open_calls(mut self, calls: u32) -> Self {
        self.config.half_open_calls = calls;
        self
    }

    /// Sets how many probes must succeed to close the breaker. Default: 3.
    pub fn close_after(mut self, successes: u32) -> Self {
        self.config.close_after = successes;
        self
    }

    /// Lets the probes decide together: once `close_after` of them have finished, the breaker
    /// opens if this share has failed, and closes otherwise. Default: the first that fails opens
    /// it.
    pub fn half_open_failure_rate(mut self, rate: f64) -> Self {
        self.config.half_open_failure_rate = Some(rate);
        self
    }

    /// Sets how long the breaker may be half-open before it opens again, while a probe is in flight
    /// or has failed. Default: the open time.
    pub fn half_open_timeout(mut self, time: Duration) -> Self {
        self.config.half_open_timeout = Some(time);
        self
    }

    /// Sets how the breaker goes back to full traffic. Default: [`Recovery::Immediate`].
    pub fn recovery(mut self, recovery: Recovery) -> Self {
        self.config.recovery = recovery;
        self
    }

    /// Lets a failure that says how long to stay away open the breaker for that long. Default:
    /// false.
    pub fn obey_retry_after(mut self, obey: bool) -> Self {
        self.config.obey_retry_after = obey;
        self
    }

    /// Sets the state to start in. Default: [`State::Closed`].
    pub fn start(mut self, state: State) -> Self {
        self.config.start = state;
        self
    }

    /// Sets whether the breaker refuses calls, or only counts. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the breaker reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what counts as a failure. Default: [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> BreakerBuilder<C2, N, K> {
        self.set_classifier(classify)
    }

    /// Sets what counts as a failure by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> BreakerBuilder<ClassifyFn<F, Res>, N, K>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over. Default: [`AtResponse`].
    pub fn finish<N2>(self, finish: N2) -> BreakerBuilder<C, N2, K> {
        self.set_finish(finish)
    }

    /// Gives each key a breaker of its own. Calls for which `key` returns `None` share one.
    pub fn key<Req, F, T>(self, key: F) -> BreakerBuilder<C, N, KeyFn<F, Req>>
    where
        F: Fn(&Req) -> T,
        T: Into<Option<Key>>,
    {
        self.key_by(KeyFn::new(key))
    }

    /// [`key`](Self::key) by a type.
    pub fn key_by<K2>(self, key: K2) -> BreakerBuilder<C, N, K2> {
        BreakerBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            classify: self.classify,
            finish: self.finish,
            key,
        }
    }

    /// Gives each key a label, for [`BreakerHandle::key_label`] and events. It is made once for
    /// each breaker, from the request that first had the key, under a lock: `label` must not use the
    /// breaker's handle.
    pub fn key_label<Req, F>(self, label: F) -> BreakerBuilder<C, N, Labelled<K, F, Req>>
    where
        K: Clone,
        F: Fn(&Req) -> String,
    {
        let key = Labelled::new(self.key.clone(), label);
        self.key_by(key)
    }

    /// Sets how many keys have a breaker of their own. Default: 10,000.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.config.max_keys = keys;
        self
    }

    /// Sets how long an idle key is remembered. Default: 10 minutes.
    pub fn key_idle(mut self, time: Duration) -> Self {
        self.config.key_idle = time;
        self
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> BreakerLayer<C, N, K> {
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
    pub fn try_build(self) -> Result<BreakerLayer<C, N, K>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(BreakerLayer {
            shared: Shared::new(self.name, self.config, &registry),
            classify: self.classify,
            finish: self.finish,
            key: self.key,
        })
    }
}

impl<C, N, K> SetClassifier for BreakerBuilder<C, N, K> {
    type With<C2> = BreakerBuilder<C2, N, K>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        BreakerBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            classify,
            finish: self.finish,
            key: self.key,
        }
    }
}

impl<C, N, K> SetFinish for BreakerBuilder<C, N, K> {
    type With<N2> = BreakerBuilder<C, N2, K>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        BreakerBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            classify: self.classify,
            finish,
            key: self.key,
        }
    }
}

/// A breaker sends nothing again.
impl<C, N, K> SetRepeat for BreakerBuilder<C, N, K> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// A breaker has nothing to say on the answers of others.
impl<C, N, K> SetNotes for BreakerBuilder<C, N, K> {
    type With<T> = Self;

    fn set_notes<T>(self, _: T) -> Self {
        self
    }
}

/// A breaker refuses by what calls came to, not by how long they may take.
impl<C, N, K> SetDeadlines for BreakerBuilder<C, N, K> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
