//! What a circuit makes of the results of calls.

use std::cell::LazyCell;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{FailureKind, Mode, Outcome, Recorded, nanos};

use crate::State;
use crate::circuit::Circuit;
use crate::counts::Count;
use crate::permit::Permit;
use crate::phase::Phase;
use crate::probes::Decision;
use crate::trip::{Cause, may_trip_on_success, trips};
use crate::verdict::Verdict;
use crate::word::Word;

impl Circuit {
    /// Takes what a response's head says, where its body is still to come. A failure counts at
    /// once, since nothing can make it good. The verdict of a probe frees its place. What the head
    /// does not tell, such as a status in the trailers, the end will.
    pub(crate) fn head(&self, permit: &mut Permit, head: &Outcome, now: impl FnOnce() -> Instant) {
        if let Some(verdict) = Verdict::of(head, false)
            && (verdict.is_bad() || permit.holds_place())
        {
            self.settle(permit, head, now);
            permit.vote(&verdict);
        }
    }

    /// Takes the result of a call.
    #[inline]
    pub(crate) fn end(&self, permit: &Permit, outcome: &Outcome, now: impl FnOnce() -> Instant) {
        if !(outcome.is_success() && permit.is_plain() && self.leave_pending(permit)) {
            self.end_in_full(permit, outcome, now);
        }
    }

    #[inline(never)]
    fn end_in_full(&self, permit: &Permit, outcome: &Outcome, now: impl FnOnce() -> Instant) {
        if !permit.has_voted() {
            self.settle(permit, outcome, now);
        } else if !permit.has_failed()
            && let Some(bad) = Verdict::of(outcome, false).filter(Verdict::is_bad)
        {
            self.record(permit, bad, &LazyCell::new(now));
        }
    }

    /// Takes note that nobody waits for the result of a call any more.
    pub(crate) fn cancel(&self, permit: &Permit, now: impl FnOnce() -> Instant) {
        if permit.has_voted() {
            return;
        }
        self.counts.add(Count::Cancelled);
        let now = LazyCell::new(now);
        match permit.took(|| self.nanos(*now)) {
            Some(took) if self.is_slow(took) => {
                self.record(permit, Verdict::SlowDrop, &now);
            }
            _ => self.free_place(permit, &now),
        }
    }

    /// Takes note that the inner service failed to become ready. Once the open time is over that is
    /// a failed probe, which held no place.
    pub(crate) fn readiness_failed(&self, now: Instant) {
        let mut control = self.lock();
        self.run_timers(&mut control, now);
        if control.mode == Mode::Off {
            return;
        }
        self.end_open_time(&mut control, now);
        if control.phase.state() == State::Open {
            return;
        }
        let permit = Permit::untimed(control.generation);
        drop(control);
        self.settle(&permit, &Outcome::failure(FailureKind::Connect), || now);
    }

    /// Leaves the success of a call to whoever next looks at the window, where that is all it takes.
    #[inline]
    fn leave_pending(&self, permit: &Permit) -> bool {
        // What is pending knows the generation that it is of.
        self.word().is_quiet() && self.pending.success(permit.generation())
    }

    /// Counts and records the first result that there is of a call.
    fn settle(&self, permit: &Permit, outcome: &Outcome, now: impl FnOnce() -> Instant) {
        let now = LazyCell::new(now);
        let took = permit.took(|| self.nanos(*now));
        if let Some(took) = took {
            self.counts.took(Duration::from_nanos(took), *now);
        }
        let slow = took.is_some_and(|took| self.is_slow(took));

        if outcome.is_success() && !slow && self.leave_pending(permit) {
            return;
        }
        self.counts.add(match Verdict::of(outcome, slow) {
            None => {
                self.free_place(permit, &now);
                Count::Ignored
            }
            Some(verdict) if !self.record(permit, verdict, &now) => Count::Stale,
            Some(verdict) if verdict.is_bad() => Count::Failure,
            Some(_) => Count::Success,
        });
    }

    /// Records what is known of a call, and makes the change that it leads to. Returns false, and
    /// changes nothing, if the circuit is not in the permit's generation.
    fn record<F: FnOnce() -> Instant>(
        &self,
        permit: &Permit,
        verdict: Verdict,
        now: &LazyCell<Instant, F>,
    ) -> bool {
        let word = self.word_at(now);
        if word.generation() != permit.generation() {
            return false;
        }
        if word.state() == State::HalfOpen {
            return self.record_probe(permit, verdict, **now);
        }

        let rules = self.rules.load();
        let standing = match rules
            .tally
            .record(permit.generation(), verdict.record(), || **now)
        {
            Recorded::Stale => return false,
            Recorded::Counted => return true,
            Recorded::Standing(standing) => standing,
        };
        let burden = standing.failures.ceil() + standing.slow as f64;
        self.burden.store(burden as u32, Ordering::Relaxed);
        if word.state().is_forced() {
            return true;
        }

        if let Some(after) = verdict.failure().and_then(|failure| rules.obeyed(failure)) {
            let until = self.nanos(**now).saturating_add(nanos(after));
            self.open_from(
                permit.generation(),
                Cause::RetryAfter,
                &standing,
                **now,
                |_| Phase::Open { until },
            );
        } else if let Some(cause) = trips(&rules.config, &standing) {
            let start = self.nanos(**now);
            self.open_from(permit.generation(), cause, &standing, **now, |control| {
                control.opened(start, &rules.config)
            });
        } else if word.state() == State::Closed
            && !rules.config.window.is_timed()
            && (!word.is_quiet() || may_trip_on_success(&rules.config, &standing))
        {
            self.set_quiet(permit.generation(), **now);
        }
        true
    }

    fn record_probe(&self, permit: &Permit, verdict: Verdict, now: Instant) -> bool {
        let mut control = self.lock();
        self.run_timers(&mut control, now);
        let rules = self.rules.load();
        if control.generation != permit.generation() {
            return false;
        }
        let Phase::HalfOpen { probes, .. } = &mut control.phase else {
            return false;
        };

        if permit.holds_place() {
            probes.free_place();
        }
        let decision = probes.finish(verdict.weight_of_a_probe(), &rules.config);
        let figures = probes.figures();
        let at = self.nanos(now);
        if let Some(after) = verdict.failure().and_then(|failure| rules.obeyed(failure)) {
            let until = at.saturating_add(nanos(after));
            control.failed = control.failed.saturating_add(1);
            self.enter(
                &mut control,
                Phase::Open { until },
                Cause::RetryAfter,
                figures,
                now,
            );
            return true;
        }
        match decision {
            Decision::Wait => self.show_places(&control, &rules.config),
            Decision::Open => self.reopen(&mut control, at, Cause::ProbesFailed, figures, now),
            Decision::Close => {
                let phase = Phase::recovered(at, &rules.config);
                self.enter(&mut control, phase, Cause::ProbesSucceeded, figures, now);
            }
        }
        true
    }

    /// Returns the word, once a ramp that is at its top has ended.
    fn word_at<F: FnOnce() -> Instant>(&self, now: &LazyCell<Instant, F>) -> Word {
        let word = self.word();
        if word.state() == State::Recovering && self.ramp_share(self.nanos(**now)).is_none() {
            self.run_timers(&mut self.lock(), **now);
            return self.word();
        }
        word
    }

    fn free_place<F: FnOnce() -> Instant>(&self, permit: &Permit, now: &LazyCell<Instant, F>) {
        if !permit.holds_place() {
            return;
        }
        let mut control = self.lock();
        // A probe that hung until the time was over has been the reason to open.
        self.run_timers(&mut control, **now);
        if control.generation != permit.generation() {
            return;
        }
        if let Phase::HalfOpen { probes, .. } = &mut control.phase {
            probes.free_place();
            self.show_places(&control, &self.rules.load().config);
        }
    }

    fn is_slow(&self, took: u64) -> bool {
        took > self.slow_after.load(Ordering::Relaxed)
    }
}
