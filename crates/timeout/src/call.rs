use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Call, Mode, Outcome, Reason, Rejection};

use crate::counts::Count;
use crate::explorers::Explorer;
use crate::plan::{Plan, UNLIMITED, in_time};
use crate::way::{Held, Start};

/// One call that is timed or limited. It reports how it ends, and gives back what it holds.
pub(crate) struct TimeoutCall {
    /// `None` once it has ended.
    way: Option<Held>,
    plan: Plan,
    /// When it began, in nanoseconds, or [`UNTIMED`].
    began: u64,
    /// How many nanoseconds it may take.
    limit: u64,
    /// When it has to end whatever the limit is.
    deadline: Option<Instant>,
    explorer: Option<Explorer>,
    /// Whether its duration is one to learn from.
    teaches: bool,
    /// Whether it is the deadline that the timer goes by.
    is_last_moment: bool,
}

/// It takes five centuries until then.
const UNTIMED: u64 = u64::MAX;

impl TimeoutCall {
    #[inline]
    pub(crate) fn begin(way: Held, plan: Plan, start: Start, deadline: Option<Instant>) -> Self {
        let mut call = Self {
            way: None,
            plan,
            began: UNTIMED,
            limit: start.limit,
            deadline,
            explorer: None,
            teaches: start.teaches,
            is_last_moment: false,
        };
        if start.teaches || start.explores || plan.is_timed() {
            call.began = way.control.time(Instant::now());
        }
        if start.explores
            && let Some((explorer, limit)) = way.explore(call.began)
        {
            way.control.counts.add(Count::Explored);
            call.explorer = Some(explorer);
            call.limit = limit;
        }
        call.way = Some(way);
        call
    }

    /// Whether there is a time at which it is to end.
    #[inline]
    pub(crate) const fn is_limited(&self) -> bool {
        self.limit < UNLIMITED || self.deadline.is_some()
    }

    /// Returns when it is to end. Its time runs from now.
    pub(crate) fn last_moment(&mut self, now: Instant) -> Option<Instant> {
        let limit = in_time(self.limit).and_then(|limit| now.checked_add(limit));
        self.is_last_moment = match (limit, self.deadline) {
            (Some(limit), Some(deadline)) => deadline < limit,
            (limit, _) => limit.is_none(),
        };
        if self.is_last_moment {
            self.deadline
        } else {
            limit
        }
    }

    /// Takes note that its time is up. Returns the error that it fails with, or `None` if it is only
    /// counted and goes on: nothing limits it any more then.
    #[cold]
    pub(crate) fn expire(&mut self) -> Option<Rejection> {
        let way = self.way.take()?;
        let mode = self.plan.mode();
        let reason = if self.is_last_moment {
            Reason::DeadlineExceeded
        } else {
            Reason::TimedOut
        };
        way.control.counts.refused(reason, mode);
        let now = Instant::now();
        if let Some(explorer) = self.explorer.take() {
            way.lost(explorer, self.age(&way, now));
        } else if self.teaches && reason == Reason::TimedOut {
            way.cut(self.limit, now);
        }
        self.teaches = false;
        if mode == Mode::Enforce {
            return Some(Rejection::new(reason, way.control.counts.name()));
        }
        self.way = Some(way);
        self.limit = UNLIMITED;
        self.deadline = None;
        None
    }

    fn age(&self, way: &Held, now: Instant) -> u64 {
        way.control.time(now).saturating_sub(self.began)
    }

    /// Records how long it took until its answer was there.
    #[inline]
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
    fn was_dropped(&self, way: &Held) {
        way.control.counts.add(Count::Cancelled);
        if let Some(explorer) = self.explorer {
            way.lost(explorer, self.age(way, Instant::now()));
        }
    }
}

impl Call for TimeoutCall {
    fn head(&mut self, _: &Outcome) {}

    #[inline]
    fn end(mut self, outcome: Outcome) {
        if let Some(way) = self.way.take() {
            way.control.counts.answered(&outcome);
            if self.began != UNTIMED {
                self.timed(&way, &outcome);
            }
        }
    }
}

impl Drop for TimeoutCall {
    #[inline]
    fn drop(&mut self) {
        if let Some(way) = self.way.take() {
            self.was_dropped(&way);
        }
    }
}

impl fmt::Debug for TimeoutCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TimeoutCall").finish_non_exhaustive()
    }
}
