//! All that changes the state of a circuit. It happens under the circuit's lock, so that events
//! come in the order of the changes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Mode, Standing, nanos};
use watertight_metrics::{Figures, StateChange};

use crate::circuit::Circuit;
use crate::phase::{Control, Phase};
use crate::rules::Rules;
use crate::trip::{Cause, figures, may_trip_on_success};
use crate::word::Word;
use crate::{BreakerConfig, BreakerSnapshot, State};

impl Circuit {
    /// Opens the circuit by hand or lets calls pass, until the next change by hand.
    pub(crate) fn force(&self, phase: Phase, now: Instant) {
        let mut control = self.lock();
        control.failed = 0;
        self.enter(&mut control, phase, Cause::Manual, Figures::default(), now);
    }

    /// Opens the circuit by hand for `time`.
    pub(crate) fn open_for(&self, time: Duration, now: Instant) {
        let until = self.nanos(now).saturating_add(nanos(time));
        self.force(Phase::Open { until }, now);
    }

    pub(crate) fn set_mode(&self, mode: Mode) {
        let mut control = self.lock();
        if control.mode == mode {
            return;
        }
        control.mode = mode;
        self.word
            .store(self.word().with_mode(mode).bits(), Ordering::Release);
    }

    /// Puts a valid `config` in force. The state stays as it is, and so does what is in the window, unless
    /// the window is another one now.
    pub(crate) fn reconfigure(&self, config: &BreakerConfig, now: Instant) {
        let mut control = self.lock();
        let old = Arc::clone(&self.rules.load());
        let rules = if old.config.window == config.window {
            Rules {
                tally: Arc::clone(&old.tally),
                config: config.clone(),
            }
        } else {
            let pending = Arc::clone(&self.pending);
            Rules::new(config.clone(), pending, control.generation, now)
        };
        self.slow_after.store(rules.slow_after(), Ordering::Relaxed);
        control.mode = config.mode;
        self.rules.store(rules);
        self.publish(&control);
    }

    /// Returns the state, after what the time alone has changed.
    pub(crate) fn state(&self, now: Instant) -> State {
        let mut control = self.lock();
        self.run_timers(&mut control, now);
        control.phase.state()
    }

    pub(crate) fn snapshot(&self, now: Instant) -> BreakerSnapshot {
        let mut control = self.lock();
        self.run_timers(&mut control, now);
        let rules = self.rules.load();
        let probes_in_flight = match &control.phase {
            Phase::HalfOpen { probes, .. } => probes.in_flight(),
            _ => 0,
        };
        let standing = match control.phase {
            Phase::HalfOpen { .. } => Standing::default(),
            _ => rules.tally.standing(now),
        };
        let left = match control.phase {
            Phase::Open { until } => until.saturating_sub(self.nanos(now)),
            _ => 0,
        };
        BreakerSnapshot {
            state: control.phase.state(),
            mode: control.mode,
            standing,
            min_calls: rules.config.calls_needed(),
            retry_after: (left > 0).then(|| Duration::from_nanos(left)),
            probes_in_flight,
            failed_recoveries: control.failed,
        }
    }

    /// Opens the circuit as `open` says, if it is still in `generation`.
    pub(crate) fn open_from(
        &self,
        generation: u32,
        cause: Cause,
        standing: &Standing,
        now: Instant,
        open: impl FnOnce(&mut Control) -> Phase,
    ) {
        let mut control = self.lock();
        if control.generation != generation {
            return;
        }
        if control.phase.state() == State::Recovering {
            control.failed = control.failed.saturating_add(1);
        }
        let phase = open(&mut control);
        self.enter(&mut control, phase, cause, figures(standing), now);
    }

    /// Opens a half-open circuit again, as from `start`.
    pub(crate) fn reopen(
        &self,
        control: &mut Control,
        start: u64,
        cause: Cause,
        figures: Figures,
        now: Instant,
    ) {
        control.failed = control.failed.saturating_add(1);
        let phase = control.opened(start, &self.rules.load().config);
        self.enter(control, phase, cause, figures, now);
    }

    /// Makes the changes that time alone makes, as if a timer had made each when it was due.
    pub(crate) fn run_timers(&self, control: &mut Control, now: Instant) {
        let at = self.nanos(now);
        match control.phase {
            Phase::HalfOpen { until, probes } if at >= until && probes.are_in_doubt() => {
                let figures = probes.figures();
                self.reopen(control, until, Cause::HalfOpenTimeout, figures, now);
            }
            Phase::HalfOpen { until, probes } if at >= until => {
                let until = at.saturating_add(nanos(self.rules.load().config.half_open_for()));
                control.phase = Phase::HalfOpen { until, probes };
                self.mark.store(until, Ordering::Relaxed);
            }
            Phase::Recovering { since }
                if self.rules.load().config.recovery.share(at, since).is_none() =>
            {
                self.enter(
                    control,
                    Phase::Closed,
                    Cause::RampDone,
                    Figures::default(),
                    now,
                );
            }
            _ => {}
        }
    }

    /// Lets probes pass, if the open time is over. A call does that, not the time.
    pub(crate) fn end_open_time(&self, control: &mut Control, now: Instant) {
        let at = self.nanos(now);
        if matches!(control.phase, Phase::Open { until } if at >= until) {
            let phase = Phase::half_open(at, &self.rules.load().config);
            self.enter(control, phase, Cause::OpenTimeOver, Figures::default(), now);
        }
    }

    /// Moves to `phase`: a new generation, with an empty window where results count.
    pub(crate) fn enter(
        &self,
        control: &mut Control,
        phase: Phase,
        cause: Cause,
        figures: Figures,
        now: Instant,
    ) {
        let (from, to) = (control.phase.state(), phase.state());
        control.generation = control.generation.wrapping_add(1);
        control.phase = phase;
        if to == State::Closed {
            control.failed = 0;
        }
        if control.phase.counts() {
            self.rules.load().tally.begin(control.generation, now);
        }
        self.publish(control);
        if from != to {
            self.counts.add_transition(from, to);
            let change = StateChange {
                from: from.as_str(),
                to: to.as_str(),
                cause: cause.as_str(),
                figures,
            };
            self.reporter.state_changed(change);
            control.unlogged.push(change);
        }
    }

    /// Shows calls what is in `control`.
    pub(crate) fn publish(&self, control: &Control) {
        let rules = self.rules.load();
        let config = &rules.config;
        self.mark.store(control.phase.mark(), Ordering::Relaxed);
        self.credit.store(0, Ordering::Relaxed);
        self.show_places(control, config);
        let word = Word::new(control.phase.state(), control.mode, control.generation)
            .timed(config.is_timed());
        self.word.store(word.bits(), Ordering::Release);
    }

    /// Shows calls whether there is a place for a probe.
    pub(crate) fn show_places(&self, control: &Control, config: &BreakerConfig) {
        let free = match &control.phase {
            Phase::HalfOpen { probes, .. } => probes.has_place(config),
            _ => false,
        };
        self.places.store(u32::from(free), Ordering::Relaxed);
    }

    /// Finds out whether a success can change anything but a count, and if not, says so: then it
    /// need not be looked at. It is asked under the lock, since of two callers the one that has
    /// looked at the window first may come last.
    pub(crate) fn set_quiet(&self, generation: u32, now: Instant) {
        let control = self.lock();
        if control.generation != generation {
            return;
        }
        let rules = self.rules.load();
        let quiet = !may_trip_on_success(&rules.config, &rules.tally.standing(now));
        self.word
            .store(self.word().quiet(quiet).bits(), Ordering::Release);
    }
}
