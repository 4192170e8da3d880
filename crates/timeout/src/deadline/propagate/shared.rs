use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::{ArcSwap, Guard};
use watertight_core::{BoxError, ConfigError, Mode, Name, Reason, Rejection, Stripes};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use super::super::counts::{Count, Counts};
use super::told::Way;
use super::{PropagateDeadlineConfig, PropagateDeadlineSnapshot};

/// What all services of one layer share.
#[derive(Debug)]
pub(super) struct Shared {
    config: ArcSwap<PropagateDeadlineConfig>,
    counts: Arc<Counts>,
    stripes: Stripes<Arc<Counts>>,
    /// One change at a time.
    hand: Mutex<()>,
    reporter: Reporter,
}

impl Shared {
    const KIND: &'static str = "propagate_deadline";

    pub(super) fn new(
        name: Name,
        config: PropagateDeadlineConfig,
        registry: &Registry,
    ) -> Arc<Self> {
        let reporter = registry.reporter(Self::KIND, name);
        let counts = Arc::new(Counts::new(Self::KIND, name, reporter.clone()));
        let shared = Arc::new(Self {
            config: ArcSwap::from_pointee(config),
            stripes: Stripes::new(|_| Arc::clone(&counts)),
            counts,
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(super) fn config(&self) -> Guard<Arc<PropagateDeadlineConfig>> {
        self.config.load()
    }

    #[inline]
    pub(super) fn way(&self) -> Way {
        Arc::clone(self.stripes.mine())
    }

    /// Counts a call that is not made, or would not be, and makes the error that it gets.
    #[cold]
    pub(super) fn refuse(&self, mode: Mode) -> Result<(), BoxError> {
        self.counts.expired(mode);
        match mode {
            Mode::Enforce => {
                Err(Rejection::new(Reason::DeadlineExceeded, self.counts.name()).into())
            }
            Mode::Shadow | Mode::Off => Ok(()),
        }
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            let config = PropagateDeadlineConfig::clone(&self.config());
            self.config
                .store(Arc::new(PropagateDeadlineConfig { mode, ..config }));
        }
        self.reporter.mode_changed(mode);
    }

    pub(super) fn reconfigure(&self, config: PropagateDeadlineConfig) -> Result<(), ConfigError> {
        config.validate()?;
        {
            let _hand = self.hand();
            self.config.store(Arc::new(config));
        }
        self.reporter.config_changed();
        Ok(())
    }

    pub(super) fn look(&self) -> PropagateDeadlineSnapshot {
        PropagateDeadlineSnapshot {
            mode: self.config().mode,
            refused: self.counts.total(Count::Expired),
            exceeded: self.counts.total(Count::CutOff),
            refused_in_shadow: self.counts.total(Count::ExpiredInShadow),
        }
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Instance for Shared {
    fn kind(&self) -> &'static str {
        Self::KIND
    }

    fn name(&self) -> Name {
        self.counts.name()
    }

    fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = self.counts.snapshot();
        snapshot.mode = self.config().mode;
        snapshot.config = self.config().describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.counts.retire();
    }
}
