use std::sync::Arc;
use std::time::Duration;

use tower_layer::Layer;
use watertight_core::{
    AtResponse, ClassifyFn, ConfigError, DynError, ErrorsAreFailures, Key, KeyFn, Labelled, Mode,
    Name, Outcome, Priority, SetClassifier, SetDeadlines, SetFinish, SetNotes, SetRepeat, Unkeyed,
};
use watertight_metrics::Registry;

use crate::shared::Shared;
use crate::triage::{ByContext, Bypassing, Partitioned, Prioritised};
use crate::{Bulkhead, BulkheadConfig, BulkheadHandle, Limit, Order};

/// Wraps services in [`Bulkhead`], all behind one limit.
///
/// See the [crate docs](crate) for an example.
#[derive(Clone, Debug)]
pub struct BulkheadLayer<C = ErrorsAreFailures, N = AtResponse, K = Unkeyed, A = ByContext> {
    shared: Arc<Shared>,
    rules: Rules<C, N, K, A>,
}

/// What a service asks of its requests and answers, the types of the user's.
#[derive(Clone, Debug)]
pub(crate) struct Rules<C, N, K, A> {
    pub(crate) classify: C,
    pub(crate) finish: N,
    pub(crate) key: K,
    pub(crate) triage: A,
}

impl<C: Clone, N: Clone, K, A> Rules<C, N, K, A> {
    /// Returns what is needed once the request is gone.
    #[inline]
    pub(crate) fn of_answers(&self) -> (C, N) {
        (self.classify.clone(), self.finish.clone())
    }
}

impl BulkheadLayer {
    /// Creates a bulkhead that refuses all calls above `limit`.
    ///
    /// # Panics
    ///
    /// If `limit` is out of its range.
    #[must_use]
    pub fn new(name: impl Into<Name>, limit: impl Into<Limit>) -> Self {
        Self::builder(name, limit).build()
    }

    /// Starts the making of a bulkhead that lets `limit` calls be in flight.
    pub fn builder(name: impl Into<Name>, limit: impl Into<Limit>) -> BulkheadBuilder {
        Self::from_config(name, BulkheadConfig::new(limit))
    }

    /// Starts the making of a bulkhead with the settings of `config`.
    pub fn from_config(name: impl Into<Name>, config: BulkheadConfig) -> BulkheadBuilder {
        BulkheadBuilder {
            name: name.into(),
            config,
            registry: None,
            rules: Rules {
                classify: ErrorsAreFailures,
                finish: AtResponse,
                key: Unkeyed,
                triage: ByContext,
            },
        }
    }
}

impl<C, N, K, A> BulkheadLayer<C, N, K, A> {
    /// Returns a handle on the bulkhead.
    #[must_use]
    pub fn handle(&self) -> BulkheadHandle {
        BulkheadHandle::new(Arc::clone(&self.shared))
    }
}

impl<S, C: Clone, N: Clone, K: Clone, A: Clone> Layer<S> for BulkheadLayer<C, N, K, A> {
    type Service = Bulkhead<S, C, N, K, A>;

    fn layer(&self, inner: S) -> Self::Service {
        Bulkhead::new(inner, Arc::clone(&self.shared), self.rules.clone())
    }
}

/// Makes a [`BulkheadLayer`].
///
/// What is plain data is described at the field of the same name of [`BulkheadConfig`], with its
/// range and its default.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build`"]
pub struct BulkheadBuilder<C = ErrorsAreFailures, N = AtResponse, K = Unkeyed, A = ByContext> {
    name: Name,
    config: BulkheadConfig,
    registry: Option<Registry>,
    rules: Rules<C, N, K, A>,
}

impl<C, N, K, A> BulkheadBuilder<C, N, K, A> {
    /// Sets how many calls may wait for a slot. It needs [`max_wait`](Self::max_wait). Default: 0.
    ///
    /// When the queue is full, a call that comes is refused, or takes the place of one that waits
    /// and has a weaker claim: one that borrows, where the call is within the share of its
    /// [`partition`](Self::partition); one that may not have a slot that is [kept](Self::reserve)
    /// for the call; or one that comes later in the [`order`](Self::order). That is refused at once.
    pub fn max_queue(mut self, calls: usize) -> Self {
        self.config.max_queue = calls;
        self
    }

    /// Sets how long a call may wait for a slot. It needs [`max_queue`](Self::max_queue).
    /// Default: 0.
    pub fn max_wait(mut self, time: Duration) -> Self {
        self.config.max_wait = time;
        self
    }

    /// Sets which of the calls that wait is served first. Default: [`Order::Fifo`].
    pub fn order(mut self, order: Order) -> Self {
        self.config.order = order;
        self
    }

    /// Keeps a share of the slots for calls of `priority` and of more important ones. Default:
    /// none.
    ///
    /// It is rounded up to whole slots, so that it is one at least, and all reserves together leave
    /// one slot to everybody: of a single slot nothing is reserved. In a full queue who may have
    /// what is reserved takes the place of one who may not.
    pub fn reserve(mut self, priority: Priority, share: f64) -> Self {
        self.config.reserve.insert(priority, share);
        self
    }

    /// Gives a share of the slots to the partition `name`, to which
    /// [`partition_by`](Self::partition_by) says that a call belongs. Default: none.
    ///
    /// It needs a [queue](Self::max_queue), which keeps the share: a slot that was lent goes back to
    /// the owner who waits for one. The share is one of the places in the queue, too. A call with
    /// which its partition has no more than its slots takes the place of one that waits and is
    /// beyond that; and with no more than its slots and its places together, of one that is beyond
    /// those. Of the others it is the one that would be served last.
    ///
    /// The slots are rounded down, but they are one at least as long as there are so many: 5 % of
    /// ten slots are one, and so are 30 % of two. Where that makes more than there are, without
    /// those that are [reserved](Self::reserve), whoever has most has one less. So three shares of
    /// two slots leave one partition with none, the last of those with the least share. The places
    /// in the queue are rounded down.
    pub fn partition(mut self, name: impl Into<String>, share: f64) -> Self {
        self.config.partitions.insert(name.into(), share);
        self
    }

    /// Bounds the calls in flight of all keys together. Default: no bound.
    ///
    /// It has to exceed the keys that may hang at once, times the limit of each, plus what the
    /// others need. Otherwise those that hang have all of it, unless a timeout inside ends them.
    pub fn total(mut self, calls: usize) -> Self {
        self.config.total = Some(calls);
        self
    }

    /// Sets how many keys have a bulkhead of their own. Default: 10,000.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.config.max_keys = keys;
        self
    }

    /// Sets how long an idle key is remembered. Default: 10 minutes.
    pub fn key_idle(mut self, time: Duration) -> Self {
        self.config.key_idle = time;
        self
    }

    /// Sets whether the bulkhead refuses calls, or only counts. Default: [`Mode::Enforce`].
    pub fn mode(mut self, mode: Mode) -> Self {
        self.config.mode = mode;
        self
    }

    /// Sets the registry that the bulkhead reports to. Default: [`Registry::global`].
    pub fn registry(mut self, registry: &Registry) -> Self {
        self.registry = Some(registry.clone());
        self
    }

    /// Sets what answers mean, to the counts and to an adaptive limit. Default:
    /// [`ErrorsAreFailures`].
    pub fn classify<C2>(self, classify: C2) -> BulkheadBuilder<C2, N, K, A> {
        self.set_classifier(classify)
    }

    /// Sets what answers mean by a closure.
    pub fn classify_fn<Res, F>(self, classify: F) -> BulkheadBuilder<ClassifyFn<F, Res>, N, K, A>
    where
        F: Fn(Result<&Res, &DynError>) -> Outcome,
    {
        self.set_classifier(ClassifyFn::new(classify))
    }

    /// Sets when a call is over, and gives its slot back. Default: [`AtResponse`].
    pub fn finish<N2>(self, finish: N2) -> BulkheadBuilder<C, N2, K, A> {
        self.set_finish(finish)
    }

    /// Gives each key a bulkhead of its own, with the limit that was given. Calls for which `key`
    /// returns `None` share one.
    pub fn key<Req, F, T>(self, key: F) -> BulkheadBuilder<C, N, KeyFn<F, Req>, A>
    where
        F: Fn(&Req) -> T,
        T: Into<Option<Key>>,
    {
        self.key_by(KeyFn::new(key))
    }

    /// [`key`](Self::key) by a type.
    pub fn key_by<K2>(self, key: K2) -> BulkheadBuilder<C, N, K2, A> {
        self.with(|rules| Rules {
            classify: rules.classify,
            finish: rules.finish,
            key,
            triage: rules.triage,
        })
    }

    /// Gives each key a label, for [`BulkheadHandle::key_label`] and events. It is made once for
    /// each bulkhead, from the request that first had the key, under a lock: `label` must not use
    /// the bulkhead's handle.
    pub fn key_label<Req, F>(self, label: F) -> BulkheadBuilder<C, N, Labelled<K, F, Req>, A>
    where
        F: Fn(&Req) -> String,
    {
        self.with(|rules| Rules {
            classify: rules.classify,
            finish: rules.finish,
            key: Labelled::new(rules.key, label),
            triage: rules.triage,
        })
    }

    /// Says how much a call matters, to [`Order::Priority`] and [`reserve`](Self::reserve).
    /// Default: as its [`Context`](watertight_core::Context) says.
    pub fn priority<Req, F>(self, priority: F) -> BulkheadBuilder<C, N, K, Prioritised<A, F, Req>>
    where
        F: Fn(&Req) -> Priority,
    {
        self.with_triage(|others| Prioritised::new(others, priority))
    }

    /// Says which [`partition`](Self::partition) a call belongs to. Default: none.
    pub fn partition_by<Req, F, P>(
        self,
        partition: F,
    ) -> BulkheadBuilder<C, N, K, Partitioned<A, F, Req>>
    where
        F: Fn(&Req) -> Option<P>,
        P: AsRef<str>,
    {
        self.with_triage(|others| Partitioned::new(others, partition))
    }

    /// Lets calls pass in any case, such as health checks. They hold no slot and are not counted.
    /// Default: none.
    pub fn bypass<Req, F>(self, bypass: F) -> BulkheadBuilder<C, N, K, Bypassing<A, F, Req>>
    where
        F: Fn(&Req) -> bool,
    {
        self.with_triage(|others| Bypassing::new(others, bypass))
    }

    /// [`priority`](Self::priority), [`partition_by`](Self::partition_by) and
    /// [`bypass`](Self::bypass) by a type, a [`Triage`](crate::Triage).
    pub fn triage<A2>(self, triage: A2) -> BulkheadBuilder<C, N, K, A2> {
        self.with_triage(|_| triage)
    }

    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range. The message names the field, the value and the range.
    pub fn build(self) -> BulkheadLayer<C, N, K, A> {
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
    pub fn try_build(self) -> Result<BulkheadLayer<C, N, K, A>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        Ok(BulkheadLayer {
            shared: Shared::new(self.name, self.config, &registry),
            rules: self.rules,
        })
    }

    fn with_triage<A2>(self, triage: impl FnOnce(A) -> A2) -> BulkheadBuilder<C, N, K, A2> {
        self.with(|rules| Rules {
            classify: rules.classify,
            finish: rules.finish,
            key: rules.key,
            triage: triage(rules.triage),
        })
    }

    fn with<C2, N2, K2, A2>(
        self,
        rules: impl FnOnce(Rules<C, N, K, A>) -> Rules<C2, N2, K2, A2>,
    ) -> BulkheadBuilder<C2, N2, K2, A2> {
        BulkheadBuilder {
            name: self.name,
            config: self.config,
            registry: self.registry,
            rules: rules(self.rules),
        }
    }
}

impl<C, N, K, A> SetClassifier for BulkheadBuilder<C, N, K, A> {
    type With<C2> = BulkheadBuilder<C2, N, K, A>;

    fn set_classifier<C2>(self, classify: C2) -> Self::With<C2> {
        self.with(|rules| Rules {
            classify,
            finish: rules.finish,
            key: rules.key,
            triage: rules.triage,
        })
    }
}

impl<C, N, K, A> SetFinish for BulkheadBuilder<C, N, K, A> {
    type With<N2> = BulkheadBuilder<C, N2, K, A>;

    fn set_finish<N2>(self, finish: N2) -> Self::With<N2> {
        self.with(|rules| Rules {
            classify: rules.classify,
            finish,
            key: rules.key,
            triage: rules.triage,
        })
    }
}

/// A bulkhead sends nothing again.
impl<C, N, K, A> SetRepeat for BulkheadBuilder<C, N, K, A> {
    type With<R> = Self;

    fn set_repeat<R>(self, _: R) -> Self {
        self
    }
}

/// A bulkhead has nothing to say on the answers of others.
impl<C, N, K, A> SetNotes for BulkheadBuilder<C, N, K, A> {
    type With<T> = Self;

    fn set_notes<T>(self, _: T) -> Self {
        self
    }
}

/// A bulkhead knows of deadlines by the `Context`.
impl<C, N, K, A> SetDeadlines for BulkheadBuilder<C, N, K, A> {
    type With<D> = Self;

    fn set_deadlines<D>(self, _: D) -> Self {
        self
    }
}
