use std::time::Duration;

use tokio::time::Instant;
use watertight_core::{Context, Delays, Failure};

use crate::RetryConfig;
use crate::give_up::GiveUp;

/// What one call has done so far, and what it may yet do.
#[derive(Debug)]
pub(crate) struct Course {
    /// How many attempts have begun.
    attempts: u32,
    /// When the first began. `None` if nothing depends on the time.
    began: Option<Instant>,
    /// When the caller stops waiting.
    deadline: Option<Instant>,
    /// The request came in as somebody's retry.
    is_second_hand: bool,
    /// Made with the first retry, and too large to be moved with every call.
    delays: Option<Box<Delays>>,
    /// Whether fresh credentials have been asked for.
    is_refreshed: bool,
}

impl Course {
    /// Begins a call in the context that is set. `now` is read only if something depends on it.
    #[inline]
    pub(crate) fn begin(max_elapsed: bool, now: impl FnOnce() -> Instant) -> Self {
        let (deadline, is_second_hand) = Context::with(|context| {
            context.map_or((None, false), |context| {
                (context.deadline, context.upstream_attempt > 0)
            })
        });
        Self {
            attempts: 1,
            began: (max_elapsed || deadline.is_some()).then(now),
            deadline,
            is_second_hand,
            delays: None,
            is_refreshed: false,
        }
    }

    pub(crate) fn attempts(&self) -> u32 {
        self.attempts
    }

    #[inline]
    pub(crate) fn is_second_hand(&self) -> bool {
        self.is_second_hand
    }

    /// When the call began, where that matters.
    #[inline]
    pub(crate) fn began(&self) -> Option<Instant> {
        self.began
    }

    /// Begins another attempt, and returns its number, where the first is 0.
    pub(crate) fn next_attempt(&mut self) -> u32 {
        self.attempts = self.attempts.saturating_add(1);
        self.attempts - 1
    }

    /// Whether this is the first time that the credentials were refused.
    pub(crate) fn refresh_once(&mut self) -> bool {
        !std::mem::replace(&mut self.is_refreshed, true)
    }

    /// Whether the call has an attempt left.
    pub(crate) fn check_attempts(&self, config: &RetryConfig) -> Result<(), GiveUp> {
        if config.amplification_guard && self.is_second_hand {
            return Err(GiveUp::Upstream);
        }
        if self.attempts >= config.max_attempts {
            return Err(GiveUp::Attempts);
        }
        Ok(())
    }

    /// Checks that another attempt after `failure` fits, which takes about as long as a `typical`
    /// one. Returns the [delay](Self::delay) before it where that had to be known.
    pub(crate) fn check_delay(
        &mut self,
        failure: &Failure,
        config: &RetryConfig,
        typical: Duration,
        now: impl FnOnce() -> Instant,
    ) -> Result<Option<Duration>, GiveUp> {
        let hint = config.retry_after.limit().zip(failure.retry_after);
        if hint.is_some_and(|(limit, after)| after > limit) {
            return Err(GiveUp::Hint);
        }
        if self.began.is_none() {
            return Ok(None);
        }
        let delay = self.delay(failure, config);
        self.check_time(delay, config, typical, now)?;
        Ok(Some(delay))
    }

    /// Returns how long to wait before the next attempt after `failure`.
    ///
    /// What the service asks for is a floor, and jitter only adds to it: all who were told the same
    /// would come at once. A pushback is waited exactly, and the backoff begins anew after it.
    pub(crate) fn delay(&mut self, failure: &Failure, config: &RetryConfig) -> Duration {
        let delays = self
            .delays
            .get_or_insert_with(|| Box::new(config.backoff.delays()));
        let hint = config.retry_after.limit().and(failure.retry_after);
        match hint {
            None => delays.next_delay(),
            Some(after) if failure.exact => {
                delays.reset();
                after
            }
            Some(after) if delays.is_jittered() => after.saturating_add(delays.next_delay()),
            Some(after) => after.max(delays.next_delay()),
        }
    }

    /// Whether another attempt fits that begins after `delay`.
    pub(crate) fn check_time(
        &self,
        delay: Duration,
        config: &RetryConfig,
        typical: Duration,
        now: impl FnOnce() -> Instant,
    ) -> Result<(), GiveUp> {
        let Some(began) = self.began else {
            return Ok(());
        };
        let now = now();
        let elapsed = now.saturating_duration_since(began).saturating_add(delay);
        if config.max_elapsed.is_some_and(|most| elapsed > most) {
            return Err(GiveUp::Elapsed);
        }
        let left = |deadline: Instant| deadline.saturating_duration_since(now);
        if self
            .deadline
            .is_some_and(|deadline| delay.saturating_add(typical) >= left(deadline))
        {
            return Err(GiveUp::Deadline);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use watertight_core::{Backoff, FailureKind, Jitter};

    use super::*;
    use crate::RetryAfter;

    const SECOND: Duration = Duration::from_secs(1);

    fn config() -> RetryConfig {
        RetryConfig {
            backoff: Backoff::exponential(SECOND, 10 * SECOND),
            ..RetryConfig::default()
        }
    }

    fn failure() -> Failure {
        Failure::new(FailureKind::Overloaded)
    }

    fn told(after: Duration) -> Failure {
        failure().retry_after(Some(after))
    }

    fn begin(deadline: Option<Duration>) -> (Course, Instant) {
        let now = Instant::now();
        let context = Context {
            deadline: deadline.map(|left| now + left),
            ..Context::default()
        };
        (context.enter(|| Course::begin(true, || now)), now)
    }

    fn delays(failures: &[Failure], config: &RetryConfig) -> Vec<Result<Duration, GiveUp>> {
        let (mut course, now) = begin(None);
        failures
            .iter()
            .map(|failure| check(&mut course, failure, config, Duration::ZERO, || now))
            .collect()
    }

    fn check(
        course: &mut Course,
        failure: &Failure,
        config: &RetryConfig,
        typical: Duration,
        now: impl FnOnce() -> Instant,
    ) -> Result<Duration, GiveUp> {
        let delay = course.check_delay(failure, config, typical, now)?;
        Ok(delay.unwrap_or_else(|| course.delay(failure, config)))
    }

    #[test]
    fn waits_by_its_backoff() {
        let seen = delays(&[failure(); 5], &config());

        assert_eq!(seen, [1, 2, 4, 8, 10].map(|s| Ok(s * SECOND)));
    }

    #[test]
    fn a_hint_is_a_floor() {
        let failures = [told(3 * SECOND), told(SECOND), told(Duration::ZERO)];

        assert_eq!(
            delays(&failures, &config()),
            [3, 2, 4].map(|s| Ok(s * SECOND))
        );
    }

    #[test]
    fn jitter_adds_to_a_hint() {
        let jittered = RetryConfig {
            backoff: Backoff::constant(SECOND).jitter(Jitter::Full),
            ..config()
        };

        let seen = delays(&[told(20 * SECOND); 50], &jittered);

        assert!(
            seen.iter()
                .all(|it| (20 * SECOND..=21 * SECOND).contains(&it.unwrap()))
        );
        assert!(seen.iter().any(|it| it.unwrap() > 20 * SECOND + SECOND / 2));
    }

    #[test]
    fn a_pushback_is_exact_and_begins_the_backoff_anew() {
        let jittered = RetryConfig {
            backoff: Backoff::exponential(SECOND, 10 * SECOND).jitter(Jitter::Proportional(0.01)),
            ..config()
        };
        let pushback = failure().pushback(15 * SECOND);

        let seen = delays(&[failure(), failure(), pushback, failure()], &jittered);

        assert_eq!(seen[2], Ok(15 * SECOND));
        assert!(seen[1].unwrap() > SECOND + SECOND / 2);
        assert!(seen[3].unwrap() < SECOND + SECOND / 2);
    }

    #[test]
    fn what_is_too_long_is_not_waited_for() {
        let ignoring = RetryConfig {
            retry_after: RetryAfter::ignore(),
            ..config()
        };
        let long = [told(31 * SECOND)];

        assert_eq!(delays(&long, &config()), [Err(GiveUp::Hint)]);
        assert_eq!(delays(&long, &ignoring), [Ok(SECOND)]);
        assert_eq!(delays(&[told(30 * SECOND)], &config()), [Ok(30 * SECOND)]);
    }

    #[test]
    fn a_wait_beyond_the_elapsed_time_is_not_begun() {
        let config = RetryConfig {
            max_elapsed: Some(3 * SECOND),
            ..config()
        };
        let (mut course, now) = begin(None);

        let mut delay = |at| {
            check(&mut course, &failure(), &config, Duration::ZERO, || {
                now + at
            })
        };

        assert_eq!(delay(2 * SECOND), Ok(SECOND));
        assert_eq!(delay(2 * SECOND), Err(GiveUp::Elapsed));
    }

    #[test]
    fn an_attempt_that_would_not_end_by_the_deadline_is_not_begun() {
        let (mut course, now) = begin(Some(5 * SECOND));

        let mut delay = |typical| check(&mut course, &failure(), &config(), typical, || now);

        assert_eq!(delay(3 * SECOND), Ok(SECOND));
        assert_eq!(delay(3 * SECOND), Err(GiveUp::Deadline));
    }

    #[test]
    fn without_a_limit_of_time_no_clock_is_read() {
        let mut course = Course::begin(false, || unreachable!("nothing depends on it"));

        let delay = course.check_delay(&failure(), &config(), SECOND, || unreachable!());

        assert_eq!(delay, Ok(None));
    }

    #[test]
    fn a_retry_from_above_is_not_retried_here() {
        let context = Context {
            upstream_attempt: 1,
            ..Context::default()
        };
        let course = context.enter(|| Course::begin(false, Instant::now));
        let unguarded = RetryConfig {
            amplification_guard: false,
            ..config()
        };

        assert_eq!(course.check_attempts(&config()), Err(GiveUp::Upstream));
        assert_eq!(course.check_attempts(&unguarded), Ok(()));
    }
}
