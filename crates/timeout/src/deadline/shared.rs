use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;
use watertight_core::{BoxError, ConfigError, Mode, Name, Reason, Rejection, Stripes};
use watertight_metrics::{Instance, InstanceSnapshot, Registry, Reporter};

use super::arrival::{Arrival, Terms};
use super::call::Way;
use super::counts::{Count, Counts};
use super::leniency::{Leniency, Share};
use super::times::Times;
use super::{DeadlineConfig, DeadlineSnapshot};

/// What all services of one layer share.
#[derive(Debug)]
pub(super) struct Shared {
    settings: ArcSwap<Settings>,
    leniency: Leniency,
    times: Times,
    counts: Arc<Counts>,
    stripes: Stripes<Arc<Counts>>,
    /// One change at a time.
    hand: Mutex<()>,
    reporter: Reporter,
}

/// What is in force.
#[derive(Debug)]
pub(super) struct Settings {
    config: DeadlineConfig,
    terms: Terms,
    hop: Option<Name>,
}

impl Settings {
    fn new(config: DeadlineConfig) -> Self {
        Self {
            terms: Terms {
                within: config.within,
                spared: Share::that_leaves(config.max_refused),
            },
            hop: config.hop.as_deref().map(Name::new),
            config,
        }
    }

    pub(super) const fn mode(&self) -> Mode {
        self.config.mode
    }

    /// What this service is called, where it keeps track of hops.
    pub(super) const fn hop(&self) -> Option<Name> {
        self.hop
    }
}

impl Shared {
    const KIND: &'static str = "deadline";

    pub(super) fn new(name: Name, config: DeadlineConfig, registry: &Registry) -> Arc<Self> {
        let reporter = registry.reporter(Self::KIND, name);
        let counts = Arc::new(Counts::new(Self::KIND, name, reporter.clone()));
        let shared = Arc::new(Self {
            settings: ArcSwap::from_pointee(Settings::new(config)),
            leniency: Leniency::default(),
            times: Times::default(),
            stripes: Stripes::new(|_| Arc::clone(&counts)),
            counts,
            hand: Mutex::new(()),
            reporter,
        });
        registry.register(&shared);
        shared
    }

    #[inline]
    pub(super) fn settings(&self) -> Guard<Arc<Settings>> {
        self.settings.load()
    }

    pub(super) fn config(&self) -> DeadlineConfig {
        self.settings().config.clone()
    }

    #[inline]
    pub(super) fn way(&self) -> Way {
        Arc::clone(self.stripes.mine())
    }

    /// Takes in a call, and counts if it has come too late.
    pub(super) fn arrive(
        &self,
        settings: &Settings,
        left: Option<Duration>,
        outer: Option<Instant>,
        now: Instant,
    ) -> Arrival {
        if settings.config.record_times {
            self.times.record(left, outer, now);
        }
        let arrival = settings.terms.arrive(left, outer, &self.leniency, now);
        match arrival {
            Arrival::InTime(_) => {}
            Arrival::Expired => self.counts.expired(settings.mode()),
            Arrival::Spared(_) => self.counts.add(Count::Spared),
        }
        arrival
    }

    pub(super) fn rejection(&self) -> BoxError {
        Rejection::new(Reason::DeadlineExceeded, self.counts.name()).into()
    }

    pub(super) fn in_flight(&self) -> usize {
        self.stripes.held()
    }

    pub(super) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            let config = self.config();
            self.put(DeadlineConfig { mode, ..config });
        }
        self.reporter.mode_changed(mode);
    }

    pub(super) fn reconfigure(&self, config: DeadlineConfig) -> Result<(), ConfigError> {
        config.validate()?;
        {
            let _hand = self.hand();
            self.put(config);
        }
        self.reporter.config_changed();
        Ok(())
    }

    pub(super) fn look(&self) -> DeadlineSnapshot {
        let (total, now) = (|count| self.counts.total(count), Instant::now());
        DeadlineSnapshot {
            mode: self.settings().mode(),
            expired: total(Count::Expired),
            cut_off: total(Count::CutOff),
            spared: total(Count::Spared),
            expired_in_shadow: total(Count::ExpiredInShadow),
            cut_off_in_shadow: total(Count::CutOffInShadow),
            time_left: self.times.left(now),
            late_by: self.times.late_by(now),
        }
    }

    fn put(&self, config: DeadlineConfig) {
        self.settings.store(Arc::new(Settings::new(config)));
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
        let config = self.config();
        let mut snapshot = self.counts.snapshot();
        snapshot.mode = config.mode;
        snapshot.in_flight = Some(self.in_flight() as u64);
        snapshot.config = config.describe();
        snapshot
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.counts.retire();
    }
}
