use std::fmt;
use std::mem;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{FailureKind, Mode, Outcome, Reason, Rejection};

use crate::counts::Count;
use crate::explorers::Explorer;
use crate::plan::{Plan, UNLIMITED};
use crate::way::{Held, Start, Way};

/// One call that is timed or limited. It reports how it ends, and gives back what it holds.
///
/// It ends where it is: to move it would be dear. All times are in nanoseconds.
pub(crate) struct TimeoutCall {
    /// `None` for a call that nobody looks at, and once it has ended.
    way: Option<Held>,
    plan: Plan,
    /// When it began, or [`NEVER`] if nobody wants to know.
    began: u64,
    /// How long it may take.
    limit: u64,
    /// When it has to end whatever the limit is, or [`NEVER`].
    deadline: u64,
    /// What it is once it goes on though its time is up.
    explorer: Option<Explorer>,
    /// Whether its duration is one to learn from.
    teaches: bool,
    /// Whether it is the deadline that the timer goes by.
    is_last_moment: bool,
}

/// It takes five centuries until then.
const NEVER: u64 = u64::MAX;

impl TimeoutCall {
    /// A call that nobody looks at.
    #[inline]
    pub(crate) const fn unwatched(plan: Plan) -> Self {
        Self {
            way: None,
            plan,
            began: NEVER,
            limit: UNLIMITED,
            deadline: NEVER,
            explorer: None,
            teaches: false,
            is_last_moment: false,
        }
    }

    /// Begins a call. It stays in registers where this is inlined, and moves through memory where it
    /// is not, which takes a third of what the layer costs.
    #[inline(always)]
    pub(crate) fn begin(way: Held, plan: Plan, start: Start, deadline: Option<Instant>) -> Self {
        let began = if start.teaches || plan.is_timed() {
            way.control.now()
        } else {
            NEVER
        };
        Self {
            deadline: deadline.map_or(NEVER, |deadline| way.control.time(deadline)),
            way: Some(way),
            plan,
            began,
            limit: start.limit,
            explorer: None,
            teaches: start.teaches,
            is_last_moment: false,
        }
    }

    /// Runs the inner service. If that panics, the call has failed.
    #[inline]
    pub(crate) fn run<R>(&mut self, inner: impl FnOnce() -> R) -> R {
        let unwinding = Unwinding(self);
        let result = inner();
        mem::forget(unwinding);
        result
    }

    /// Whether there is a time at which it is to end.
    #[inline]
    pub(crate) const fn is_limited(&self) -> bool {
        self.limit < UNLIMITED || self.deadline < NEVER
    }

    /// Returns when it is to end. Its time runs from now.
    #[inline]
    pub(crate) fn last_moment(&mut self, now: Instant) -> Option<Instant> {
        if self.deadline < NEVER {
            let left = self.deadline.saturating_sub(self.time(now)?);
            if left < self.limit {
                self.is_last_moment = true;
                return now.checked_add(Duration::from_nanos(left));
            }
        }
        now.checked_add(Duration::from_nanos(self.limit))
    }

    fn time(&self, now: Instant) -> Option<u64> {
        Some(self.way.as_ref()?.control.time(now))
    }

    /// Takes note that its time is up. Returns the error that it fails with, or `None` if it goes
    /// on: for a while to explore, or as long as it takes where it is only counted.
    #[cold]
    pub(crate) fn expire(&mut self) -> Option<Rejection> {
        let way = self.way.take()?;
        let now = Instant::now();
        if self.explores(&way, now) {
            self.way = Some(way);
            return None;
        }
        let mode = self.plan.mode();
        let reason = if self.is_last_moment {
            Reason::DeadlineExceeded
        } else {
            Reason::TimedOut
        };
        way.control.counts.refused(reason, mode);
        if self.teaches {
            match (self.explorer.take(), reason) {
                (Some(explorer), _) => way.lost(explorer, self.age(&way, now)),
                (None, Reason::TimedOut) => way.cut(self.limit, now),
                (None, _) => way.given_up(self.age(&way, now), now),
            }
        }
        self.teaches = false;
        if mode == Mode::Enforce {
            return Some(Rejection::new(reason, way.control.counts.name()));
        }
        self.way = Some(way);
        (self.limit, self.deadline) = (UNLIMITED, NEVER);
        None
    }

    /// Whether it goes on from now to see how long it takes.
    fn explores(&mut self, way: &Way, now: Instant) -> bool {
        if !self.teaches || self.is_last_moment || self.explorer.is_some() {
            return false;
        }
        let Some((explorer, longest)) = way.goes_on(self.began, self.limit, now) else {
            return false;
        };
        way.control.counts.add(Count::Explored);
        self.explorer = Some(explorer);
        self.limit = longest - self.limit;
        true
    }

    /// Ends the call by its answer.
    #[inline(always)]
    pub(crate) fn end(&mut self, outcome: &Outcome) {
        if let Some(way) = self.way.take() {
            way.control.counts.answered(outcome);
            if self.began != NEVER {
                self.timed(&way, outcome);
            }
        }
    }

    /// Whether anybody looks at it.
    #[inline]
    pub(crate) const fn is_watched(&self) -> bool {
        self.way.is_some()
    }

    fn age(&self, way: &Held, now: Instant) -> u64 {
        way.control.time(now).saturating_sub(self.began)
    }

    /// Records how long it took until its answer was there.
    #[inline(never)]
    fn timed(&self, way: &Held, outcome: &Outcome) {
        let now = Instant::now();
        let took = self.age(way, now);
        if self.plan.is_timed() {
            way.control.counts.took(Duration::from_nanos(took), now);
        }
        match (self.explorer, outcome.is_failure()) {
            (Some(explorer), true) => way.lost(explorer, took),
            (Some(explorer), false) => way.came_back(explorer, took, self.teaches, now),
            (None, false) if self.teaches => way.record(took, now),
            (None, _) => {}
        }
    }

    #[cold]
    fn was_dropped(&mut self) {
        let Some(way) = self.way.take() else { return };
        way.control.counts.add(Count::Cancelled);
        if !self.teaches {
            return;
        }
        let now = Instant::now();
        let after = self.age(&way, now);
        match self.explorer {
            Some(explorer) => way.given_up_exploring(explorer, after),
            None => way.given_up(after, now),
        }
    }
}

impl Drop for TimeoutCall {
    #[inline]
    fn drop(&mut self) {
        if self.is_watched() {
            self.was_dropped();
        }
    }
}

/// Dropped only when what runs below it unwinds.
struct Unwinding<'a>(&'a mut TimeoutCall);

impl Drop for Unwinding<'_> {
    #[cold]
    fn drop(&mut self) {
        self.0.end(&Outcome::failure(FailureKind::Other));
    }
}

impl fmt::Debug for TimeoutCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutCall").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;
    use watertight_core::{Name, Padded};
    use watertight_metrics::Registry;

    use super::*;
    use crate::control::Control;
    use crate::counts::Counts;
    use crate::heard::Testimony;
    use crate::machine::Machine;
    use crate::{Adaptive, TimeoutConfig};

    const LIMIT: Duration = Duration::from_millis(100);

    /// The limit is 100 milliseconds, and will be: that is the warm-up.
    fn way() -> Held {
        let adaptive = Adaptive {
            initial: Some(LIMIT),
            ..Adaptive::default()
        };
        let config = TimeoutConfig {
            limit: adaptive.into(),
            ..TimeoutConfig::default()
        };
        let name = Name::new("search");
        let counts = Counts::new(name, Registry::new().reporter(Counts::KIND, name));
        let control = Control::new(config, counts, Instant::now());
        let machine = Machine::new(control.into(), None);
        Held::new(Padded(Way::new(machine.into())))
    }

    /// A call goes on when its time is up, and is dropped after this. Returns what is known then.
    async fn explorer_dropped(after: Duration) -> Testimony {
        let way = way();
        let plan = way.control.plan();
        let mut call = TimeoutCall::begin(Held::clone(&way), plan, way.start(plan), None);

        advance(LIMIT).await;
        assert!(call.expire().is_none());
        advance(after - LIMIT).await;
        drop(call);

        let now = way.control.time(Instant::now());
        way.learning().unwrap().explorers.cut(way.learnt(), 0, now)
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_explores_and_is_dropped_takes_that_long_at_least() {
        let Testimony::Ends(after) = explorer_dropped(2 * LIMIT).await else {
            panic!("that its caller goes away does not say that it hangs");
        };

        assert!(2 * LIMIT - Duration::from_nanos(after) <= Duration::from_nanos(2));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_explores_hangs_if_it_is_dropped_when_it_has_been_waited_for() {
        assert_eq!(explorer_dropped(9 * LIMIT).await, Testimony::Hangs);
    }
}
