use std::marker::PhantomData;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use watertight_core::{ConfigError, Mode, Name, Stripes};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use super::call::BodyCall;
use super::counts::{Count, Counts};
use super::{BodyTimeoutConfig, BodyTimeoutSnapshot, Side};

/// What all services of one layer share.
#[derive(Debug)]
pub(super) struct Shared<D> {
    config: ArcSwap<BodyTimeoutConfig>,
    counts: Arc<Counts>,
    stripes: Stripes<Arc<Counts>>,
    /// One change at a time.
    hand: Mutex<()>,
    reporter: Reporter,
    side: PhantomData<fn() -> D>,
}

impl<D: Side> Shared<D> {
    pub(super) fn new(name: Name, config: BodyTimeoutConfig, registry: &Registry) -> Arc<Self> {
        let reporter = registry.reporter(D::KIND, name);
        let counts = Arc::new(Counts::new(D::KIND, name, reporter.clone()));
        let shared = Arc::new(Self {
            config: ArcSwap::from_pointee(config),
            stripes: Stripes::new(|_| Arc::clone(&counts)),
            counts,
            hand: Mutex::new(()),
            reporter,
            side: PhantomData,
        });
        registry.register(&shared);
        shared
    }
}

impl<D> Shared<D> {
    /// Begins a call. `None` for one that nobody looks at.
    pub(super) fn begin(&self) -> Option<(BodyCall, BodyTimeoutConfig)> {
        let config = **self.config.load();
        (config.mode != Mode::Off).then(|| {
            let way = Arc::clone(self.stripes.mine());
            (BodyCall::new(way, config.mode), config)
        })
    }

    pub(super) fn config(&self) -> BodyTimeoutConfig {
        **self.config.load()
    }

    pub(super) fn name(&self) -> Name {
        self.counts.name()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.stripes.held()
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            let config = self.config();
            self.config
                .store(Arc::new(BodyTimeoutConfig { mode, ..config }));
        }
        self.reporter.mode_changed(mode);
    }

    pub(super) fn reconfigure(&self, config: BodyTimeoutConfig) -> Result<(), ConfigError> {
        config.validate()?;
        {
            let _hand = self.hand();
            self.config.store(Arc::new(config));
        }
        self.reporter.config_changed();
        Ok(())
    }

    pub(super) fn look(&self) -> BodyTimeoutSnapshot {
        BodyTimeoutSnapshot {
            mode: self.config().mode,
            timed_out: self.counts.total(Count::TimedOut),
            in_shadow: self.counts.total(Count::InShadow),
        }
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Side> Instance for Shared<D> {
    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn name(&self) -> Name {
        self.counts.name()
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let config = self.config();
        let mut snapshot = self.counts.snapshot();
        snapshot.mode = config.mode;
        snapshot.in_flight = Some(self.in_flight() as u64);
        snapshot.config = config.describe();
        snapshot
    }
}

impl<D> Drop for Shared<D> {
    fn drop(&mut self) {
        self.counts.retire();
    }
}
