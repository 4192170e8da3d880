//! The machine: decides whether a call passes, and takes its result.
//!
//! Nothing here waits or reads the clock. The time comes in as `now`, as a closure where it is
//! not always wanted. A healthy call reads one word when it comes and writes one, of its own
//! thread, when it ends. All that changes the state happens under one lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Pending, nanos};
use watertight_metrics::Reporter;

use crate::counts::{Count, Counts};
use crate::locked::Locked;
use crate::open_time::OpenTime;
use crate::phase::{Control, Phase};
use crate::rules::{Rules, SharedRules};
use crate::sync::{AtomicU32, AtomicU64, Mutex, unpoisoned};
use crate::word::Word;
use crate::{BreakerConfig, State};

/// One circuit breaker: the state machine, without a service around it.
///
/// `admit.rs` has how a call comes, `vote.rs` how it ends, `transition.rs` how the state changes.
#[derive(Debug)]
pub(crate) struct Circuit {
    /// All that a healthy call has to know, and reads twice.
    pub(crate) word: AtomicU64,
    /// See [`Phase::mark`]. Written before the word, and read after it. A reader that finds the
    /// mark of a later phase refuses or asks the lock, and both are right.
    pub(crate) mark: AtomicU64,
    /// After how many nanoseconds a call is slow.
    pub(crate) slow_after: AtomicU64,
    /// Not zero while there is a place for a probe.
    pub(crate) places: AtomicU32,
    /// What the ramp has saved up towards the next call that it admits, as a share of 2^32.
    pub(crate) credit: AtomicU32,
    /// How many failures and slow calls the window had at the last look.
    pub(crate) burden: AtomicU32,
    pub(crate) pending: Arc<Pending>,
    pub(crate) rules: SharedRules,
    pub(crate) control: Mutex<Control>,
    pub(crate) counts: Arc<Counts>,
    pub(crate) reporter: Reporter,
    epoch: Instant,
}

impl Circuit {
    pub(crate) fn new(
        config: BreakerConfig,
        pending: Pending,
        counts: Arc<Counts>,
        reporter: Reporter,
        epoch: Instant,
    ) -> Self {
        let mut control = Control {
            phase: Phase::Closed,
            generation: 0,
            mode: config.mode,
            failed: 0,
            open_time: OpenTime::new(config.seed),
            unlogged: Vec::new(),
        };
        control.phase = match config.start {
            State::Open => control.opened(0, &config),
            State::ForcedOpen => Phase::ForcedOpen,
            State::ForcedClosed => Phase::ForcedClosed,
            State::Closed | State::HalfOpen | State::Recovering => Phase::Closed,
        };
        let pending = Arc::new(pending);
        let rules = Rules::new(config, Arc::clone(&pending), 0, epoch);
        let circuit = Self {
            word: AtomicU64::new(0),
            mark: AtomicU64::new(0),
            slow_after: AtomicU64::new(rules.slow_after()),
            places: AtomicU32::new(0),
            credit: AtomicU32::new(0),
            burden: AtomicU32::new(0),
            pending,
            rules: SharedRules::new(rules),
            control: Mutex::new(control),
            counts,
            reporter,
            epoch,
        };
        circuit.publish(&circuit.lock());
        circuit
    }

    #[inline]
    pub(crate) fn word(&self) -> Word {
        Word::from_bits(self.word.load(Ordering::Acquire))
    }

    pub(crate) fn mark(&self) -> u64 {
        self.mark.load(Ordering::Relaxed)
    }

    pub(crate) fn lock(&self) -> Locked<'_> {
        Locked::new(unpoisoned(self.control.lock()), &self.reporter)
    }

    /// Returns the nanoseconds since the circuit's epoch, which fit for five centuries.
    pub(crate) fn nanos(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    /// Returns how long it is from `at` to the mark.
    pub(crate) fn until_mark(&self, at: u64) -> Duration {
        Duration::from_nanos(self.mark().saturating_sub(at))
    }

    /// Whether what it does with calls was to end at a time of its own, longer ago than an idle key
    /// is remembered. Nobody has called since.
    pub(crate) fn is_overdue(&self, now: Instant) -> bool {
        let idle = nanos(self.rules.load().config.key_idle);
        let then = self.nanos(now).saturating_sub(idle);
        match self.word().state() {
            State::Open | State::HalfOpen => then >= self.mark(),
            State::Recovering => self.ramp_share(then).is_none(),
            State::Closed | State::ForcedOpen | State::ForcedClosed => false,
        }
    }

    pub(crate) fn no_place(&self) -> bool {
        self.places.load(Ordering::Relaxed) == 0
    }
}

impl Drop for Circuit {
    fn drop(&mut self) {
        // What a forgotten key has counted stays counted.
        self.counts.add_many(Count::Success, self.pending.total());
    }
}
