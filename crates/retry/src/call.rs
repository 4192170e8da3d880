use std::cell::LazyCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{BudgetCall, Call, Failure, FailureKind, Mode, Outcome, Padded};

use crate::counts::Count;
use crate::course::Course;
use crate::give_up::GiveUp;
use crate::machine::{Flags, Machine};
use crate::refresh::Refreshing;
use crate::way::{Held, Way};

/// What is to be known before the first attempt is made.
#[derive(Debug)]
pub(crate) struct Start {
    pub(crate) course: Course,
    credentials: u64,
}

impl Start {
    #[inline]
    pub(crate) fn new(way: &Way, flags: Flags) -> Self {
        Self {
            course: Course::begin(flags.is_timed(), Instant::now),
            credentials: way.0.credentials(),
        }
    }
}

/// A call whose first attempt is being made. Without a future yet that it could be in, it is no more
/// than what ends it if that panics: it would have to be moved.
#[derive(Debug)]
pub(crate) struct Unmade<'a>(pub(crate) &'a Arc<Padded<Way>>);

impl Call for Unmade<'_> {
    fn head(&mut self, _: &Outcome) {}

    #[cold]
    fn end(self, outcome: Outcome) {
        let start = Start {
            course: Course::begin(false, Instant::now),
            credentials: 0,
        };
        RetryCall::begin(self.0, start).end(outcome);
    }
}

/// What is kept of a request, with the rule by which it is repeated.
pub(crate) trait Keeps<Req> {
    /// Whether it may be sent again after `failure`.
    fn allows(&self, failure: &Failure) -> bool;

    /// Ends what is still under way of the attempts that were made, and makes the request once more,
    /// if that is possible.
    fn again(&self) -> Option<Req>;
}

/// A call that a retry layer follows: what it has done, and what it owes the budget.
#[derive(Debug)]
pub(crate) struct RetryCall {
    budget: BudgetCall<Held>,
    course: Course,
    /// When the attempt began that is in flight, where attempts are timed.
    attempt_began: Option<Instant>,
    /// Which credentials the attempt in flight may have.
    credentials: u64,
    is_over: bool,
}

impl RetryCall {
    #[inline(always)]
    pub(crate) fn begin(way: &Arc<Padded<Way>>, start: Start) -> Self {
        Self {
            budget: BudgetCall::new(Held(Arc::clone(way))),
            attempt_began: start.course.began(),
            course: start.course,
            credentials: start.credentials,
            is_over: false,
        }
    }

    #[inline]
    pub(crate) fn machine(&self) -> &Machine {
        self.budget.way()
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.course.attempts()
    }

    /// Whether the last of all attempts has begun.
    pub(crate) fn is_at_last(&self) -> bool {
        self.course
            .check_attempts(&self.machine().config())
            .is_err()
    }

    /// Takes note that an attempt was answered by something that is no failure.
    #[inline]
    pub(crate) fn answered(&self) {
        if let Some(began) = self.attempt_began {
            self.record(began);
        }
    }

    #[inline(never)]
    fn record(&self, began: Instant) {
        let took = Instant::now().saturating_duration_since(began);
        self.machine().typical.record(took);
    }

    /// Ends the call with a success, where it is: to move it would take longer.
    #[inline]
    pub(crate) fn succeed(call: &mut Option<Self>) {
        if let Some(call) = call {
            call.answered();
            call.over(&Outcome::Success);
        }
        *call = None;
    }

    /// Ends the call where it is.
    #[inline(always)]
    pub(crate) fn over(&mut self, outcome: &Outcome) {
        self.is_over = true;
        self.machine().counts.ended(outcome);
        if !outcome.is_failure() {
            self.budget.succeeded();
        }
    }

    /// Decides about another attempt after `failure`: how long to wait for it, and the request that
    /// it sends. The decision is paid for.
    pub(crate) fn weigh<Req>(
        &mut self,
        failure: &Failure,
        is_marked: bool,
        kept: &impl Keeps<Req>,
    ) -> Result<(Duration, Req), GiveUp> {
        let weighed = self.consider(failure, is_marked, kept);
        if let Err(why) = &weighed {
            self.machine().counts.gave_up(*why);
        }
        weighed
    }

    fn consider<Req>(
        &mut self,
        failure: &Failure,
        is_marked: bool,
        kept: &impl Keeps<Req>,
    ) -> Result<(Duration, Req), GiveUp> {
        self.budget.extra_ended();
        if !failure.retryable {
            return Err(GiveUp::NotRetryable);
        }
        self.budget.failed(failure);
        if !self.machine().is_wanted(&Outcome::Failure(*failure)) {
            return Err(GiveUp::Predicate);
        }
        if is_marked {
            return Err(GiveUp::Marked);
        }
        let config = self.machine().config();
        let typical = self.machine().typical.get();
        let now = LazyCell::new(Instant::now);
        self.course.check_attempts(&config)?;
        let delay = self
            .course
            .check_delay(failure, &config, typical, || *now)?;
        let request = self.pay(failure, kept, config.mode, || *now)?;
        // What is refused has no delay to draw.
        let delay = delay.unwrap_or_else(|| self.course.delay(failure, &config));
        Ok((delay, request))
    }

    /// Whether anybody could make the credentials of the call fresh.
    #[inline]
    pub(crate) fn can_refresh(&self) -> bool {
        self.machine().refresh.is_some()
    }

    /// Asks for fresh credentials, where that has not been done for this call and it may have
    /// another attempt, and for the request that is sent with them.
    pub(crate) fn refresh<Req>(
        &mut self,
        kept: &impl Keeps<Req>,
    ) -> Option<Result<(Refreshing, Req), GiveUp>> {
        if !self.course.refresh_once() {
            return None;
        }
        let config = self.machine().config();
        let typical = self.machine().typical.get();
        self.course.check_attempts(&config).ok()?;
        self.course
            .check_time(Duration::ZERO, &config, typical, Instant::now)
            .ok()?;
        self.budget.extra_ended();
        let refused = Failure::new(FailureKind::Client);
        match self.pay(&refused, kept, config.mode, Instant::now) {
            Ok(request) => {
                let refresh = self.machine().refresh.as_ref()?;
                Some(Ok((refresh.after(self.credentials), request)))
            }
            Err(why) => {
                self.machine().counts.gave_up(why);
                Some(Err(why))
            }
        }
    }

    /// Pays for another attempt, and makes its request. That comes last: the attempt before it is
    /// then over for good.
    fn pay<Req>(
        &mut self,
        failure: &Failure,
        kept: &impl Keeps<Req>,
        mode: Mode,
        now: impl Fn() -> Instant,
    ) -> Result<Req, GiveUp> {
        if !kept.allows(failure) {
            return Err(GiveUp::NotRepeatable);
        }
        if !self.budget.withdraw(failure, &now) {
            self.machine().budget_exhausted(now());
            return Err(GiveUp::Budget);
        }
        if mode != Mode::Enforce {
            // The budget moves as if the attempt were made.
            self.budget.sent();
            self.budget.extra_ended();
            return Err(GiveUp::Shadow);
        }
        let request = kept.again();
        if request.is_none() {
            self.budget.give_back();
        }
        request.ok_or(GiveUp::NotRepeatable)
    }

    /// Whether an answer that is to be retried has to be held, since the retry may yet be dropped.
    pub(crate) fn may_lapse(&self) -> bool {
        self.budget.may_lapse()
    }

    /// Whether the attempt that was paid for may go out.
    pub(crate) fn check_budget(&mut self) -> Result<(), GiveUp> {
        if self.budget.is_still_allowed() {
            return Ok(());
        }
        self.budget.give_back();
        self.machine().budget_exhausted(Instant::now());
        self.machine().counts.gave_up(GiveUp::Budget);
        Err(GiveUp::Budget)
    }

    /// Begins the attempt that was paid for, and returns its number, where the first is 0.
    pub(crate) fn next_attempt(&mut self) -> u32 {
        self.budget.sent();
        self.machine().counts.add(Count::Retry);
        self.credentials = self.machine().credentials();
        self.attempt_began = self.course.began().map(|_| Instant::now());
        self.course.next_attempt()
    }
}

impl Call for RetryCall {
    fn head(&mut self, _: &Outcome) {}

    #[inline]
    fn end(mut self, outcome: Outcome) {
        self.over(&outcome);
    }
}

impl Drop for RetryCall {
    #[inline]
    fn drop(&mut self) {
        if !self.is_over {
            self.machine().counts.add(Count::Cancelled);
        }
    }
}
