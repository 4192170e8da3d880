//! How a circuit decides whether a call passes.

use std::cell::LazyCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Mode, Reason};

use crate::State;
use crate::circuit::Circuit;
use crate::counts::Count;
use crate::permit::Permit;
use crate::phase::Phase;
use crate::word::Word;

/// What is to become of a call.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It passes.
    Admitted(Permit),
    /// It passes, and nobody looks: the breaker is off, or would have refused it out of the shadow.
    Unwatched,
    /// It does not pass.
    Refused(Refusal),
}

/// What a call is told that does not pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Refusal {
    /// How long the circuit stays open.
    pub(crate) retry_after: Option<Duration>,
}

impl Circuit {
    /// Decides whether a call passes. `now` is read where that depends on the time, or where
    /// calls are timed.
    #[inline]
    pub(crate) fn admit(&self, now: impl FnOnce() -> Instant) -> Admission {
        let word = self.word();
        if word.admits_all() {
            return Admission::Admitted(Permit::untimed(word.generation()));
        }
        self.admit_in_full(word, now)
    }

    #[inline(never)]
    fn admit_in_full(&self, word: Word, now: impl FnOnce() -> Instant) -> Admission {
        if word.mode() == Mode::Off {
            return Admission::Unwatched;
        }
        let now = LazyCell::new(now);
        let admitted = match word.state() {
            State::Closed | State::ForcedClosed => Ok(Permit::new(word, || self.nanos(*now))),
            State::ForcedOpen => Err(Refusal::default()),
            State::Open | State::HalfOpen | State::Recovering => self.admit_some(word, *now),
        };
        match admitted {
            Ok(permit) => Admission::Admitted(permit),
            Err(refusal) if word.mode() == Mode::Enforce => Admission::Refused(refusal),
            Err(_) => {
                self.note_refusal(Mode::Shadow, || *now);
                Admission::Unwatched
            }
        }
    }

    /// Returns how a call that came now would be refused, as far as can be told without admitting
    /// one.
    #[inline]
    pub(crate) fn foresee(&self, now: impl FnOnce() -> Instant) -> Option<Refusal> {
        let word = self.word();
        if word.admits_all() {
            return None;
        }
        self.foresee_in_full(word, now)
    }

    #[inline(never)]
    fn foresee_in_full(&self, word: Word, now: impl FnOnce() -> Instant) -> Option<Refusal> {
        if word.mode() != Mode::Enforce {
            return None;
        }
        match word.state() {
            State::ForcedOpen => Some(Refusal::default()),
            State::Open => Refusal::open_for(self.until_mark(self.nanos(now()))),
            State::HalfOpen if self.no_place() => self.foresee_without_a_place(now()),
            State::Closed | State::HalfOpen | State::ForcedClosed | State::Recovering => None,
        }
    }

    fn foresee_without_a_place(&self, now: Instant) -> Option<Refusal> {
        let at = self.nanos(now);
        if at < self.mark() {
            return Some(Refusal::default());
        }
        // Probes that have hung for too long open the circuit.
        match self.state(now) {
            State::Open => Refusal::open_for(self.until_mark(at)),
            State::HalfOpen => self.no_place().then(Refusal::default),
            _ => None,
        }
    }

    /// Counts a call that is refused, or would be.
    pub(crate) fn note_refusal(&self, mode: Mode, now: impl FnOnce() -> Instant) {
        self.reporter.refused(Reason::CircuitOpen, mode, now);
        self.counts.add(match mode {
            Mode::Shadow => Count::RejectedInShadow,
            Mode::Enforce | Mode::Off => Count::Rejected,
        });
    }

    /// Admits a call, or not, in a state that admits some.
    #[cold]
    fn admit_some(&self, word: Word, now: Instant) -> Result<Permit, Refusal> {
        let at = self.nanos(now);
        match word.state() {
            State::Open if at < self.mark() => Err(Refusal {
                retry_after: Some(self.until_mark(at)),
            }),
            State::HalfOpen if self.no_place() && at < self.mark() => Err(Refusal::default()),
            State::Recovering => match self.ramp_share(at) {
                Some(share) if !self.is_in(share) => Err(Refusal::default()),
                Some(_) => Ok(Permit::new(word, || at)),
                None => self.admit_under_lock(now),
            },
            _ => self.admit_under_lock(now),
        }
    }

    fn admit_under_lock(&self, now: Instant) -> Result<Permit, Refusal> {
        let mut control = self.lock();
        self.run_timers(&mut control, now);
        self.end_open_time(&mut control, now);

        let rules = self.rules.load();
        let at = self.nanos(now);
        let permit = Permit::new(self.word(), || at);
        match &mut control.phase {
            Phase::Closed | Phase::ForcedClosed => Ok(permit),
            Phase::ForcedOpen => Err(Refusal::default()),
            Phase::Open { until } => Err(Refusal {
                retry_after: Some(Duration::from_nanos(*until - at)),
            }),
            Phase::Recovering { since } => {
                let share = rules.config.recovery.share(at, *since);
                self.is_in(share.unwrap_or(1.0))
                    .then_some(permit)
                    .ok_or_else(Refusal::default)
            }
            Phase::HalfOpen { probes, .. } => {
                let taken = probes.take_place(&rules.config);
                self.show_places(&control, &rules.config);
                taken
                    .then(|| permit.of_a_probe())
                    .ok_or_else(Refusal::default)
            }
        }
    }

    /// Returns the share that the ramp admits, or `None` if it is at its top.
    pub(crate) fn ramp_share(&self, at: u64) -> Option<f64> {
        self.rules.load().config.recovery.share(at, self.mark())
    }

    /// Picks `share` of the calls, evenly: whenever the shares have added up to another whole.
    fn is_in(&self, share: f64) -> bool {
        let step = (share * f64::from(u32::MAX)) as u32;
        let saved = self.credit.fetch_add(step, Ordering::Relaxed);
        saved.checked_add(step).is_none()
    }
}

impl Refusal {
    /// Returns what a call is told if `time` is left.
    fn open_for(time: Duration) -> Option<Self> {
        (!time.is_zero()).then_some(Self {
            retry_after: Some(time),
        })
    }
}
