use std::fmt;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use tokio::time::Instant;
use watertight_core::{Budget, ConfigError, Mode, Name, Outcome};
use watertight_metrics::{InstanceSnapshot, Reporter};

use crate::RetryConfig;
use crate::counts::Counts;
use crate::refresh::Refresh;
use crate::typical::Typical;

/// What all calls of one layer share.
pub(crate) struct Machine {
    pub(crate) name: Name,
    /// What a call has to know when it begins: see [`Flags`].
    flags: AtomicU8,
    config: ArcSwap<RetryConfig>,
    /// One change of the settings at a time.
    hand: Mutex<()>,
    pub(crate) budget: Budget,
    pub(crate) predicate: Option<Predicate>,
    pub(crate) refresh: Option<Refresh>,
    pub(crate) typical: Typical,
    pub(crate) counts: Counts,
    pub(crate) reporter: Reporter,
}

/// Says of a failure whether it is to be retried.
pub(crate) type Predicate = Arc<dyn Fn(&Outcome) -> bool + Send + Sync>;

/// What the settings mean to a call that begins.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Flags(u8);

impl Flags {
    const OFF: u8 = 1;
    const MAY_RETRY: u8 = 2;
    const GUARDED: u8 = 4;
    const TIMED: u8 = 8;
    const LIMITED: u8 = 16;
    const ENFORCED: u8 = 32;

    fn of(config: &RetryConfig) -> Self {
        let mut flags = 0;
        for (flag, is_set) in [
            (Self::OFF, config.mode == Mode::Off),
            (Self::MAY_RETRY, config.max_attempts > 1),
            (Self::GUARDED, config.amplification_guard),
            (Self::TIMED, config.max_elapsed.is_some()),
            (Self::LIMITED, config.attempt_timeout.is_some()),
            (Self::ENFORCED, config.mode == Mode::Enforce),
        ] {
            flags |= if is_set { flag } else { 0 };
        }
        Self(flags)
    }

    /// Nobody looks at calls.
    #[inline]
    pub(crate) const fn is_off(self) -> bool {
        self.0 & Self::OFF != 0
    }

    /// Whether there may be a use for a request once it is sent: a second attempt, or a letter if
    /// those are `written`. Of one that came in as somebody's second attempt there is none.
    #[inline]
    pub(crate) const fn keeps(self, written: bool, is_second_hand: bool) -> bool {
        (written || self.0 & Self::MAY_RETRY != 0)
            && !(is_second_hand && self.0 & Self::GUARDED != 0)
    }

    /// Whether an attempt may take only so long.
    #[inline]
    pub(crate) const fn is_limited(self) -> bool {
        self.0 & Self::LIMITED != 0
    }

    /// Whether the time since its first attempt matters to every call.
    #[inline]
    pub(crate) const fn is_timed(self) -> bool {
        self.0 & Self::TIMED != 0
    }
}

impl Machine {
    pub(crate) fn new(
        name: Name,
        config: RetryConfig,
        budget: Budget,
        predicate: Option<Predicate>,
        refresh: Option<Refresh>,
        reporter: Reporter,
    ) -> Self {
        Self {
            name,
            flags: AtomicU8::new(Flags::of(&config).0),
            config: ArcSwap::from_pointee(config),
            hand: Mutex::new(()),
            budget,
            predicate,
            refresh,
            typical: Typical::default(),
            counts: Counts::new(name, reporter.clone()),
            reporter,
        }
    }

    #[inline]
    pub(crate) fn flags(&self) -> Flags {
        Flags(self.flags.load(Ordering::Relaxed))
    }

    pub(crate) fn config(&self) -> Guard<Arc<RetryConfig>> {
        self.config.load()
    }

    /// Whether calls are retried, and not just looked at.
    pub(crate) fn is_enforced(&self) -> bool {
        self.flags().0 & Flags::ENFORCED != 0
    }

    /// Returns which credentials a call that begins now may have.
    #[inline]
    pub(crate) fn credentials(&self) -> u64 {
        self.refresh.as_ref().map_or(0, Refresh::generation)
    }

    /// Returns how long an attempt may take.
    #[inline]
    pub(crate) fn attempt_timeout(&self) -> Option<Duration> {
        self.flags()
            .is_limited()
            .then(|| self.config().attempt_timeout)?
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        {
            let _hand = self.hand();
            let config = RetryConfig {
                mode,
                ..RetryConfig::clone(&self.config())
            };
            self.put(config);
        }
        self.reporter.mode_changed(mode);
    }

    pub(crate) fn reconfigure(&self, config: RetryConfig) -> Result<(), ConfigError> {
        config.validate()?;
        {
            let _hand = self.hand();
            self.put(config);
        }
        self.reporter.config_changed();
        Ok(())
    }

    fn put(&self, config: RetryConfig) {
        let flags = Flags::of(&config);
        self.config.store(Arc::new(config));
        self.flags.store(flags.0, Ordering::Relaxed);
    }

    fn hand(&self) -> MutexGuard<'_, ()> {
        self.hand.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note that there was no budget for a retry.
    pub(crate) fn budget_exhausted(&self, now: Instant) {
        self.reporter.budget_exhausted(now);
    }

    pub(crate) fn snapshot(&self) -> InstanceSnapshot {
        let mut snapshot = self.counts.snapshot();
        let config = self.config();
        snapshot.mode = config.mode;
        snapshot.config = config.describe();
        snapshot
            .config
            .insert("budget", format!("{:?}", self.budget));
        snapshot
    }

    /// Whether the user wants a retry after `outcome`.
    pub(crate) fn is_wanted(&self, outcome: &Outcome) -> bool {
        self.predicate
            .as_ref()
            .is_none_or(|predicate| predicate(outcome))
    }
}

impl fmt::Debug for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Machine")
            .field("name", &self.name)
            .field("config", &*self.config())
            .field("budget", &self.budget)
            .finish_non_exhaustive()
    }
}
