use std::time::Duration;

use watertight_core::ConfigError;
use watertight_metrics::Registry;

use super::{InProcess, InStore, Keeper, Leased, OnStoreFailure, Store};
use crate::algorithm::Algorithm;
use crate::shared::Shared;
use crate::{RateLimitBuilder, RateLimitLayer};

impl<A, R> RateLimitBuilder<A, R, InProcess> {
    /// Has the quotas kept in a store, so that many processes share them. Default: in this process.
    ///
    /// The [total](crate::RateLimitConfig::total) stays in this process: it protects what this
    /// process has, and is asked before the store. What else is different is at
    /// [`store`](crate::store).
    pub fn store<St: Store>(self, store: St) -> RateLimitBuilder<A, R, InStore<St>> {
        self.kept(|_| InStore(store))
    }
}

impl<A, R, St> RateLimitBuilder<A, R, InStore<St>> {
    /// Sets how long the store may take to answer. Default: 50 ms.
    pub fn store_timeout(mut self, time: Duration) -> Self {
        self.config.store.timeout = time;
        self
    }

    /// Sets what becomes of a call when the store fails. Default: `OnStoreFailure::Local(1.0)`.
    pub fn on_store_failure(mut self, on_failure: OnStoreFailure) -> Self {
        self.config.store.on_failure = on_failure;
        self
    }
}

impl<A, R, St: Store> RateLimitBuilder<A, R, InStore<St>> {
    /// Takes up to `most` permits at a time of the store, and spends them without it. Default: the
    /// store is asked for each call. What it saves and costs is at [`Leased`].
    pub fn lease(self, most: u64) -> RateLimitBuilder<A, R, InStore<Leased<St>>> {
        self.kept(|place| InStore(Leased::new(place.0, most)))
    }
}

impl<A: Algorithm, R, St: Store> RateLimitBuilder<A, R, InStore<St>> {
    /// Makes the layer.
    ///
    /// # Panics
    ///
    /// If a setting is out of its range, or the store cannot keep such a quota. The message names the
    /// field, the value and the range.
    pub fn build(self) -> RateLimitLayer<A, R, InStore<St>> {
        match self.try_build() {
            Ok(layer) => layer,
            Err(error) => panic!("{error}"),
        }
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// If a setting is out of its range, or the store cannot keep such a quota.
    pub fn try_build(self) -> Result<RateLimitLayer<A, R, InStore<St>>, ConfigError> {
        self.config.validate()?;
        let registry = self.registry.unwrap_or_else(|| Registry::global().clone());
        let keeper = Keeper::new(self.place.0.clone());
        let config = self.config.into_any();
        keeper.check(&config)?;
        // Keys are counted here only while the store fails.
        let shared = Shared::new(A::KIND, self.name, config, Some(keeper), false, &registry);
        Ok(RateLimitLayer::with(shared, self.rules, self.place))
    }
}
