use watertight_core::{ConfigError, Mode, Name, SetDeadlines, SetRepeat};
use watertight_metrics::Registry;

use crate::algorithm::Algorithm;
use crate::shared::Shared;
use crate::store::InProcess;
use crate::{
    MissingKey, Quota, Quotas, RateLimitConfig, RateLimitLayer, Rules, TokenBucket, WhenFull,
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
    pub(crate) keyed: bool,
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

    pub(crate) fn with<R2>(self, rules: impl FnOnce(R) -> R2) -> RateLimitBuilder<A, R2, L> {
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
        if self.keyed {
            config.validate_keys()?;
        }
        let shared = Shared::new(A::KIND, self.name, config, None, self.keyed, &registry);
        Ok(RateLimitLayer::with(shared, self.rules, self.place))
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
