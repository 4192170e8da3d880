use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;
use watertight_core::{BoxError, Mode, Outcome, Reason, nanos};
use watertight_metrics::Reporter;

use crate::counts::{Count, Counts};
use crate::limit::Learned;
use crate::settings::Settings;
use crate::slots::{Refusal, Room};
use crate::{BulkheadSnapshot, Limit, Sample};

/// One bulkhead, that of all calls or of one key: its room, and what it learns about how large that
/// is to be.
#[derive(Debug)]
pub(crate) struct Compartment {
    pub(crate) room: Room,
    /// The room of all keys together.
    pub(crate) all: Arc<Room>,
    /// `None` for a fixed limit.
    learned: ArcSwapOption<Learned>,
    /// The setting behind the room's limit. It guards the changes of that: one at a time.
    limit: Mutex<Limit>,
    is_set_by_hand: AtomicBool,
    epoch: Instant,
    pub(crate) counts: Arc<Counts>,
    pub(crate) reporter: Reporter,
}

impl Compartment {
    pub(crate) fn new(
        settings: &Settings,
        stripes: usize,
        all: Arc<Room>,
        counts: Arc<Counts>,
        reporter: Reporter,
    ) -> Self {
        let limit = settings.config.limit.clone();
        Self {
            room: Room::new(settings.room(stripes)),
            all,
            learned: ArcSwapOption::new(limit.learned().map(Arc::new)),
            limit: Mutex::new(limit),
            is_set_by_hand: AtomicBool::new(false),
            epoch: Instant::now(),
            counts,
            reporter,
        }
    }

    /// Returns the time in nanoseconds, which fit for five centuries.
    pub(crate) fn time(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    /// Takes in what a call that began at this time tells about how many there is room for.
    pub(crate) fn learn(&self, began: u64, outcome: &Outcome) {
        let learned = self.learned.load();
        let Some(learned) = &*learned else {
            return;
        };
        let now = Instant::now();
        let took = Duration::from_nanos(self.time(now).saturating_sub(began));
        if let Some(sample) = Sample::new(now, took, self.room.in_flight(), outcome) {
            learned.sample(&sample, |limit| self.apply(learned, limit, now));
        }
    }

    /// Puts what was learnt in force, unless another setting has come meanwhile.
    fn apply(&self, learned: &Arc<Learned>, limit: usize, now: Instant) {
        let _setting = self.limit();
        let current = self.learned.load();
        if current.as_ref().is_some_and(|it| Arc::ptr_eq(it, learned)) {
            self.room.resize(limit, || now);
        }
    }

    /// Counts a refusal, and makes the error of it.
    #[cold]
    pub(crate) fn refuse(&self, refusal: Refusal) -> BoxError {
        self.counts.refused(refusal.reason);
        self.reporter
            .refused(refusal.reason, Mode::Enforce, Instant::now);
        refusal.error(self.counts.name())
    }

    /// Counts a call that passes only because nothing is refused.
    #[cold]
    pub(crate) fn refuse_in_shadow(&self) {
        self.counts.add(Count::FullInShadow);
        self.reporter
            .refused(Reason::BulkheadFull, Mode::Shadow, Instant::now);
    }

    /// Puts `settings` in force. What has been learnt stays where the limit is learnt as before.
    pub(crate) fn reconfigure(&self, settings: &Settings, now: Instant) {
        let mut limit = self.limit();
        let mut room = settings.room(1);
        if *limit == settings.config.limit {
            room.limit = self.room.limit();
        } else {
            self.set(&mut limit, settings.config.limit.clone());
        }
        self.is_set_by_hand.store(false, Ordering::Relaxed);
        self.room.reconfigure(room, || now);
    }

    /// Puts another limit in force, for this one alone.
    pub(crate) fn resize(&self, to: Limit, now: Instant) {
        let mut limit = self.limit();
        self.room.resize(to.initial(), || now);
        self.set(&mut limit, to);
        self.is_set_by_hand.store(true, Ordering::Relaxed);
    }

    fn set(&self, limit: &mut Limit, to: Limit) {
        self.learned.store(to.learned().map(Arc::new));
        *limit = to;
    }

    /// Whether somebody has given this one a limit of its own.
    pub(crate) fn is_set_by_hand(&self) -> bool {
        self.is_set_by_hand.load(Ordering::Relaxed)
    }

    /// Returns how far the limit has come from where it began.
    pub(crate) fn learnt(&self) -> u64 {
        if self.learned.load().is_none() {
            return 0;
        }
        self.limit().initial().abs_diff(self.room.limit()) as u64
    }

    pub(crate) fn snapshot(&self, mode: Mode, now: Instant) -> BulkheadSnapshot {
        BulkheadSnapshot::new(&self.room, mode, self.counts.waits(now))
    }

    fn limit(&self) -> MutexGuard<'_, Limit> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
