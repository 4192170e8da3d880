use std::time::Duration;

use watertight_core::{
    ClassifyFn, ConfigError, DynError, Key, KeyFn, Mode, Name, Outcome, SetClassifier,
    SetDeadlines, SetFinish, SetNotes, SetRepeat,
};
use watertight_metrics::Registry;

use crate::algorithm::Algorithm;
use crate::demand::{Planned, Priced};
use crate::shared::Shared;
use crate::store::InProcess;
use crate::{
    LeakyBucket, MissingKey, PenaltyFn, Quota, Quotas, RateLimitConfig, RateLimitLayer, Rules,
    SlidingWindow, TokenBucket, WhenFull,
};

/// Makes a [`RateLimitLayer`].
///
/// What is plain data is described at the field of the same name of [`RateLimitConfig`], with its
/// range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct RateLimitBuilder<A, R = Rules, L = InProcess> {
    pub(crate) name: Name,
    pub(crate) config: RateLimitConfig<A>,
    pub(crate) registry: Option<Registry>,
    pub(crate) rules: R,
    /// Whether the rules tell keys apart.
    keyed: bool,
    /// Where the quotas are kept.
    pub(crate) place: L,
}

impl<R, L> RateLimitBuilder<TokenBucket, R, L> {
    /// Sets how many tokens may be saved up, of the quota that was given first. Default: what comes
    /// in its period.
    pub fn burst(mut self, tokens: u64) -> Self {
        self.config.quotas = self.config.quotas.with_burst(tokens);
        self
    }
}

impl<R, L> RateLimitBuilder<SlidingWindow, R, L> {
    /// Keeps the time of each call. See [`SlidingWindow::Exact`].
    pub fn exact(self) -> Self {
        self.window(SlidingWindow::Exact)
    }

    /// Counts this period and the one before: the default. See [`SlidingWindow::Approximate`].
    pub fn approximate(self) -> Self {
        self.window(SlidingWindow::Approximate)
    }

    /// Counts `count` parts of the period. See [`SlidingWindow::Buckets`].
    pub fn buckets(self, count: u32) -> Self {
        self.window(SlidingWindow::Buckets(count))
    }

    /// Sets how the window is kept.
    pub fn window(mut self, window: SlidingWindow) -> Self {
        self.config.algorithm = window;
        self
    }
}

impl<R, L> RateLimitBuilder<LeakyBucket, R, L> {
    /// Sets how much may wait for its turn. Default: 0.
    pub fn queue(mut self, cost: u64) -> Self {
        self.config.algorithm.queue = cost;
        self
    }

    /// Sets how much may start at once after a pause. See [`LeakyBucket::slack`]. Default: 0.
    pub fn slack(mut self, cost: u64) -> Self {
        self.config.algorithm.slack = cost;
        self
    }

    /// Sets how long a call may wait for its turn. Default: as long as the queue makes it wait.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.config.algorithm.max_wait = Some(time);
        self
    }
}

impl<A, R> RateLimitBuilder<A, R> {
    pub(crate) fn new(name: Name, config: RateLimitConfig<A>, rules: R) -> Self {
        Self {
            name,
            config,
            registry: None,
            rules,
            keyed: false,
            place: InProcess,
        }
    }
}

impl<A, R, L> RateLimitBuilder<A, R, L> {
    /// Adds a quota that has to be met, too. Default: none.
    pub fn and(mut self, quota: Quota) -> Self {
        self.config.quotas = self.config.quotas.and(quota);
        self
    }

    /// Gives the calls of a plan, of which [`plan_by`](Self::plan_by) says that they are on it,
    /// other quotas. Default: none.
    pub fn plan(mut self, name: impl Into<String>, quotas: impl Into<Quotas>) -> Self {
        self.config.plans.insert(name.into(), quotas.into());
        self
    }

    /// Bounds what comes of all keys and plans together. Default: no bound.
    pub fn total(mut self, quotas: impl Into<Quotas>) -> Self {
        self.config.total = Some(quotas.into());
        self
    }

    /// Sets how many keys there is room for. Default: 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.config.max_keys = keys;
        self
    }

    /// Sets what happens to a key that is new where there is no room for it. Default:
    /// [`WhenFull::Evict`].
    pub fn when_full(mut self, when_full: WhenFull) -> Self {
        self.config.when_full = when_full;
        self
    }

    /// Sets what becomes of a call in which no key is found. Default: [`MissingKey::Refuse`].
    pub fn missing_key(mut self, missing_key: MissingKey) -> Self {
        self.config.missing_key = missing_key;
        self
    }

    /// Sets whether answers say how much is left, where there is a way to say it: `.http()`.
    /// Default: false.
    ///
    /// Who knows what is left need not find out by being refused. It allocates what is written. A
    /// refusal says how the limit stands anyhow.
    pub fn announce(mut self, announce: bool) -> Self {
        self.config.announce = announce;
        self
    }

    /// Sets whether the limit refuses and delays calls, or only counts. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the limit reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    fn with<R2>(self, rules: impl FnOnce(R) -> R2) -> RateLimitBuilder<A, R2, L> {
        RateLimitBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            rules: rules(self.rules),
            keyed: self.keyed,
            place: self.place,
        }
    }

    pub(crate) fn kept<L2>(self, place: impl FnOnce(L) -> L2) -> RateLimitBuilder<A, R, L2> {
        RateLimitBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            rules: self.rules,
            keyed: self.keyed,
            place: place(self.place),
        }
    }
}

impl<A: Algorithm, R> RateLimitBuilder<A, R> {
    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> RateLimitLayer<A, R> {
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
    pub fn try_build(self) -> Result<RateLimitLayer<A, R>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        let config = self.config.into_any();
        let shared = Shared::new(A::KIND, self.name, config, None, self.keyed, &registry);
        Ok(RateLimitLayer::with(shared, self.rules, self.place))
    }
}

#[allow(clippy::type_complexity, reason = "users do not spell these types")]
impl<A, C, N, K, D, P, T, L> RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    /// Sets what answers mean, to the counts and to a [`penalty`](Self::penalty). Default:
    /// [`ErrorsAreFailures`](watertight_core::ErrorsAreFailures).
    pub fn classify<C2>(self, classify: C2) -> RateLimitBuilder<A, Rules<C2, N, K, D, P, T>, L> {
        self.set_classifier(classify)
    }

    /// Sets what answers mean by a closure.
    pub fn classify_fn<Res, F>(
        self,
        classify: F,
    ) -> RateLimitBuilder<A, Rules<ClassifyFn<F, Res>, N, K, D, P, T>, L>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over, and known how it went. Default:
    /// [`AtResponse`](watertight_core::AtResponse).
    pub fn finish<N2>(self, finish: N2) -> RateLimitBuilder<A, Rules<C, N2, K, D, P, T>, L> {
        self.set_finish(finish)
    }

    /// Gives each key quotas of its own. What becomes of a call for which `key` returns `None`,
    /// [`missing_key`](Self::missing_key) says.
    pub fn key<Req, F, O>(
        self,
        key: F,
    ) -> RateLimitBuilder<A, Rules<C, N, KeyFn<F, Req>, D, P, T>, L>
    where
        F: Fn(&Req) -> O,
        O: Into<Option<Key>>,
    {
        self.key_by(KeyFn::new(key))
    }

    /// [`key`](Self::key) by a type.
    pub fn key_by<K2>(self, key: K2) -> RateLimitBuilder<A, Rules<C, N, K2, D, P, T>, L> {
        let mut builder = self.with(|rules| rules.key(key));
        builder.keyed = true;
        builder
    }

    /// Sets how many tokens a call takes. Default: 1.
    ///
    /// A call of cost 0 always passes, and one that costs more than a quota holds never does.
    pub fn cost<Req, F>(
        self,
        cost: F,
    ) -> RateLimitBuilder<A, Rules<C, N, K, Priced<D, F, Req>, P, T>, L>
    where
        F: Fn(&Req) -> u64,
    {
        self.with_demand(|others| Priced::new(others, cost))
    }

    /// Says which [`plan`](Self::plan) a call is on. Default: none.
    pub fn plan_by<Req, F, O>(
        self,
        plan: F,
    ) -> RateLimitBuilder<A, Rules<C, N, K, Planned<D, F, Req>, P, T>, L>
    where
        F: Fn(&Req) -> Option<O>,
        O: AsRef<str>,
    {
        self.with_demand(|others| Planned::new(others, plan))
    }

    /// [`cost`](Self::cost) and [`plan_by`](Self::plan_by) by a type, a
    /// [`Demand`](crate::Demand).
    pub fn demand<D2>(self, demand: D2) -> RateLimitBuilder<A, Rules<C, N, K, D2, P, T>, L> {
        self.with_demand(|_| demand)
    }

    /// Charges a call for how it ended, besides what it cost: who guesses passwords runs dry.
    /// Default: nothing.
    ///
    /// The tokens are taken from the quotas of the call's key and plan, even if they are not there,
    /// as far as [`Quota::debt`] goes.
    pub fn penalty<F>(
        self,
        penalty: F,
    ) -> RateLimitBuilder<A, Rules<C, N, K, D, PenaltyFn<F>, T>, L>
    where
        F: Fn(&Outcome) -> u64,
    {
        self.with(|rules| rules.penalty(PenaltyFn(penalty)))
    }

    fn with_demand<D2>(
        self,
        demand: impl FnOnce(D) -> D2,
    ) -> RateLimitBuilder<A, Rules<C, N, K, D2, P, T>, L> {
        self.with(|rules| {
            let Rules {
                classify,
                finish,
                key,
                demand: others,
                penalty,
                notes,
            } = rules;
            Rules {
                classify,
                finish,
                key,
                demand: demand(others),
                penalty,
                notes,
            }
        })
    }
}

impl<A, C, N, K, D, P, T, L> SetClassifier for RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    type With<C2> = RateLimitBuilder<A, Rules<C2, N, K, D, P, T>, L>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        self.with(|rules| rules.classify(classify))
    }
}

impl<A, C, N, K, D, P, T, L> SetFinish for RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    type With<N2> = RateLimitBuilder<A, Rules<C, N2, K, D, P, T>, L>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        self.with(|rules| rules.finish(finish))
    }
}

/// An answer can say how much is left, and does so with [`announce`](RateLimitBuilder::announce).
impl<A, C, N, K, D, P, T, L> SetNotes for RateLimitBuilder<A, Rules<C, N, K, D, P, T>, L> {
    type With<T2> = RateLimitBuilder<A, Rules<C, N, K, D, P, T2>, L>;

    fn set_notes<T2>(self, notes: T2) -> Self::With<T2> {
        self.with(|rules| rules.notes(notes))
    }
}

/// A rate limit sends nothing again.
impl<A, R, L> SetRepeat for RateLimitBuilder<A, R, L> {
    type With<R2> = Self;

    fn set_repeat<R2>(self, _: R2) -> Self {
        self
    }
}

/// A rate limit knows of deadlines by the `Context`.
impl<A, R, L> SetDeadlines for RateLimitBuilder<A, R, L> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
