use std::iter;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{BoxError, Mode, Outcome, Reason, nanos};
use watertight_metrics::Reporter;

use crate::counts::{Count, Counts};
use crate::limit::{Gathering, Learned};
use crate::settings::Settings;
use crate::slots::{Refusal, Room, Woken};
use crate::{BulkheadSnapshot, Limit, Sample};

/// One bulkhead, that of all calls or of one key: its room, and what it learns about how large that
/// is to be.
#[derive(Debug)]
pub(crate) struct Compartment {
    pub(crate) room: Room,
    /// The room of all keys together.
    pub(crate) all: Arc<Room>,
    /// What is behind the room's limit. It guards the changes of that: one at a time.
    limit: Mutex<Learned>,
    /// Samples that need not be handed to it yet. Made with the first limit that learns.
    gathering: OnceLock<Box<Gathering>>,
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
        let compartment = Self {
            room: Room::new(settings.room(stripes)),
            all,
            limit: Mutex::new(Learned::new(settings.config.limit.clone())),
            gathering: OnceLock::new(),
            is_set_by_hand: AtomicBool::new(false),
            epoch: Instant::now(),
            counts,
            reporter,
        };
        compartment.gather_for(&compartment.limit());
        compartment
    }

    /// Returns the time in nanoseconds, which fit for five centuries.
    pub(crate) fn time(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.epoch))
    }

    /// Takes in what a call that began at this time tells about how many there is room for.
    pub(crate) fn learn(&self, began: u64, outcome: &Outcome) {
        let Some(dropped) = Sample::dropped(outcome) else {
            return;
        };
        let Some(gathering) = self.gathering.get() else {
            return;
        };
        let now = Instant::now();
        let sample = Sample {
            ended: now,
            duration: Duration::from_nanos(self.time(now).saturating_sub(began)),
            // It looks at what every thread has written.
            in_flight: self.room.in_flight(),
            dropped,
        };
        if !gathering.keep(&sample) {
            drop(self.hand_over(gathering, sample));
        }
    }

    /// Hands the samples that wait and then the last to the algorithm, and puts the limit in force
    /// that comes of them. Returns who is to be woken once nothing is locked.
    fn hand_over(&self, gathering: &Gathering, last: Sample) -> Option<Woken> {
        // Neither who holds the lock nor who has panicked in it is worth waiting for.
        let mut limit = self.limit.try_lock().ok()?;
        let slots = limit.learn(gathering.take().chain(iter::once(last)));
        gathering.let_wait(limit.may_wait());
        // It may be another without a sample's doing.
        let changed = slots.filter(|slots| *slots.min(&Room::MOST) != self.room.limit());
        Some(self.room.resize(changed?, || last.ended))
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
    /// Returns who is to be woken once nothing is locked.
    pub(crate) fn reconfigure(&self, settings: &Settings, now: Instant) -> Woken {
        let mut limit = self.limit();
        let mut room = settings.room(1);
        if *limit.setting() == settings.config.limit {
            room.limit = self.room.limit();
        } else {
            self.set(&mut limit, settings.config.limit.clone());
        }
        self.is_set_by_hand.store(false, Ordering::Relaxed);
        self.room.reconfigure(room, || now)
    }

    /// Puts another limit in force, for this one alone. Returns who is to be woken once nothing is
    /// locked.
    pub(crate) fn resize(&self, to: Limit, now: Instant) -> Woken {
        let mut limit = self.limit();
        self.set(&mut limit, to);
        self.is_set_by_hand.store(true, Ordering::Relaxed);
        self.room.resize(limit.initial(), || now)
    }

    /// Lets all calls pass that wait. Returns who is to be woken once nothing is locked.
    pub(crate) fn let_pass(&self, now: Instant) -> Woken {
        let _limit = self.limit();
        self.room.let_pass(|| now)
    }

    fn set(&self, limit: &mut Learned, to: Limit) {
        *limit = Learned::new(to);
        // An algorithm that has panicked is gone.
        self.limit.clear_poison();
        self.gather_for(limit);
    }

    /// Begins to gather samples for a limit of which nothing has been learnt yet, if it learns.
    fn gather_for(&self, limit: &Learned) {
        if limit.learns() {
            let new = || Box::new(Gathering::new(self.epoch));
            let gathering = self.gathering.get_or_init(new);
            // They are of the limit before.
            gathering.take().for_each(drop);
            gathering.let_wait(limit.may_wait());
        }
    }

    /// Whether somebody has given this one a limit of its own.
    pub(crate) fn is_set_by_hand(&self) -> bool {
        self.is_set_by_hand.load(Ordering::Relaxed)
    }

    /// Returns how far the limit has come from where it began.
    pub(crate) fn learnt(&self) -> u64 {
        self.limit().initial().abs_diff(self.room.limit()) as u64
    }

    pub(crate) fn snapshot(&self, mode: Mode, now: Instant) -> BulkheadSnapshot {
        BulkheadSnapshot::new(&self.room, mode, self.counts.waits(now))
    }

    fn limit(&self) -> MutexGuard<'_, Learned> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
