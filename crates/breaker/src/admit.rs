//! How a circuit decides whether a call passes.

use std::cell::LazyCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Mode, Reason};
use watertight_metrics::Figures;

use crate::circuit::Circuit;
use crate::counts::Count;
use crate::phase::Phase;
use crate::trip::Cause;
use crate::verdict::Permit;
use crate::word::Word;
use crate::{Recovery, State};

/// What is to become of a call.
#[derive(Debug)]
pub(crate) enum Admission {
    /// It passes, and nobody looks: the breaker is off.
    Unwatched,
    /// It passes.
    Admitted(Permit),
    /// It does not pass.
    Refused {
        /// How long the circuit stays open.
        retry_after: Option<Duration>,
    },
    /// It would not pass, if the breaker were not in the shadow.
    RefusedInShadow,
}

impl Circuit {
    /// Decides whether a call passes. `now` is read where that depends on the time, or where
    /// calls are timed.
    pub(crate) fn admit(&self, now: impl FnOnce() -> Instant) -> Admission {
        let word = self.word();
        if word.mode() == Mode::Off {
            return Admission::Unwatched;
        }
        let now = LazyCell::new(now);
        let admitted = match word.state() {
            State::Closed | State::ForcedClosed => Ok(Permit::new(
                word.generation(),
                word.is_timed().then(|| *now),
            )),
            State::ForcedOpen => Err(None),
            State::Open | State::HalfOpen | State::Recovering => self.admit_some(word, *now),
        };
        match admitted {
            Ok(permit) => Admission::Admitted(permit),
            Err(retry_after) => self.refuse(word.mode(), retry_after, || *now),
        }
    }

    /// Whether a call that came now would be refused, as far as can be told without admitting
    /// one.
    pub(crate) fn would_refuse(&self, now: impl FnOnce() -> Instant) -> bool {
        let word = self.word();
        if word.mode() != Mode::Enforce {
            return false;
        }
        match word.state() {
            State::Closed | State::ForcedClosed | State::Recovering => false,
            State::ForcedOpen => true,
            State::Open => self.nanos(now()) < self.mark(),
            State::HalfOpen => self.no_place() && self.nanos(now()) < self.mark(),
        }
    }

    /// Refuses a call that was told so when it asked for readiness.
    pub(crate) fn refuse_as_told(&self, now: impl FnOnce() -> Instant) -> Option<Duration> {
        let now = now();
        let left = self.until_mark(self.nanos(now));
        let is_open = self.word().state() == State::Open;
        let retry_after = (is_open && !left.is_zero()).then_some(left);
        self.refuse(Mode::Enforce, retry_after, || now);
        retry_after
    }

    /// Admits a call, or not, in a state that admits some.
    #[cold]
    fn admit_some(&self, word: Word, now: Instant) -> Result<Permit, Option<Duration>> {
        let at = self.nanos(now);
        match word.state() {
            State::Open if at < self.mark() => Err(Some(self.until_mark(at))),
            State::HalfOpen if self.no_place() && at < self.mark() => Err(None),
            State::Recovering => match self.ramp_share(at) {
                Some(share) if !self.is_in(share) => Err(None),
                Some(_) => Ok(Permit::new(
                    word.generation(),
                    word.is_timed().then_some(now),
                )),
                None => self.admit_under_lock(now),
            },
            _ => self.admit_under_lock(now),
        }
    }

    fn admit_under_lock(&self, now: Instant) -> Result<Permit, Option<Duration>> {
        let mut control = self.lock();
        self.run_timers(&mut control, now);
        let rules = self.rules.load();
        let at = self.nanos(now);
        if matches!(control.phase, Phase::Open { until } if at >= until) {
            let phase = Phase::half_open(at, &rules.config);
            self.enter(
                &mut control,
                phase,
                Cause::OpenTimeOver,
                Figures::default(),
                now,
            );
        }

        let started = rules.config.is_timed().then_some(now);
        let mut permit = Permit::new(control.generation, started);
        match &mut control.phase {
            Phase::Closed | Phase::ForcedClosed => Ok(permit),
            Phase::ForcedOpen => Err(None),
            Phase::Open { until } => Err(Some(Duration::from_nanos(*until - at))),
            Phase::Recovering { since, ramp } => {
                let share = ramp.share(Duration::from_nanos(at.saturating_sub(*since)));
                self.is_in(share.unwrap_or(1.0))
                    .then_some(permit)
                    .ok_or(None)
            }
            Phase::HalfOpen { probes, .. } => {
                permit.holds_place = probes.take_place(&rules.config);
                self.show_places(&control, &rules.config);
                permit.holds_place.then_some(permit).ok_or(None)
            }
        }
    }

    /// Returns the share that the ramp admits, or `None` if it is at its top.
    pub(crate) fn ramp_share(&self, at: u64) -> Option<f64> {
        match self.rules.load().config.recovery {
            Recovery::Ramp(ramp) => {
                ramp.share(Duration::from_nanos(at.saturating_sub(self.mark())))
            }
            Recovery::Immediate => None,
        }
    }

    /// Picks `share` of the calls, evenly: whenever the shares have added up to another whole.
    fn is_in(&self, share: f64) -> bool {
        let step = (share * f64::from(u32::MAX)) as u32;
        let saved = self.credit.fetch_add(step, Ordering::Relaxed);
        saved.checked_add(step).is_none()
    }

    fn refuse(
        &self,
        mode: Mode,
        retry_after: Option<Duration>,
        now: impl FnOnce() -> Instant,
    ) -> Admission {
        self.reporter.refused(Reason::CircuitOpen, mode, now);
        if mode == Mode::Shadow {
            self.counts.add(Count::RejectedInShadow);
            return Admission::RefusedInShadow;
        }
        self.counts.add(Count::Rejected);
        Admission::Refused { retry_after }
    }
}
