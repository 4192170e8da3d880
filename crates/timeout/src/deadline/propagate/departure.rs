use std::time::Duration;

use tokio::time::Instant;

use super::PropagateDeadlineConfig;

/// How much earlier than it was meant the time that is written may be over: it is rounded down, in
/// HTTP to the millisecond, and in gRPC to no more for what takes less than a day.
const ROUNDING: Duration = Duration::from_millis(1);

/// What the next service is told of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Departure {
    /// Nothing: it may take as long as it takes.
    Unbounded,
    /// How long the caller waits.
    Within {
        left: Duration,
        /// From when on it is the caller's deadline that the time is over. `None` where what is told
        /// is less than what the caller leaves.
        over: Option<Instant>,
    },
    /// The call is not made: too little time is left.
    TooLate,
}

impl PropagateDeadlineConfig {
    /// Says what to tell of a call that must be answered by `deadline`. `now` is read only if there
    /// is one.
    pub(super) fn depart(
        &self,
        deadline: Option<Instant>,
        now: impl FnOnce() -> Instant,
    ) -> Departure {
        let remains = deadline.map(|deadline| {
            let remains = deadline.saturating_duration_since(now());
            remains.saturating_sub(self.reserve)
        });
        let left = remains.into_iter().chain(self.at_most).min();
        match left {
            None => Departure::Unbounded,
            Some(left) if left.is_zero() || left < self.least => Departure::TooLate,
            Some(left) => {
                let deadline = deadline.filter(|_| remains == Some(left));
                let early = self.reserve.saturating_add(ROUNDING);
                Departure::Within {
                    left,
                    over: deadline.and_then(|deadline| deadline.checked_sub(early)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn config() -> PropagateDeadlineConfig {
        PropagateDeadlineConfig {
            reserve: 5 * MS,
            least: 20 * MS,
            ..PropagateDeadlineConfig::default()
        }
    }

    fn depart(config: &PropagateDeadlineConfig, remains: u32) -> Option<Duration> {
        let now = Instant::now();
        left(config.depart(Some(now + remains * MS), || now))
    }

    fn left(departure: Departure) -> Option<Duration> {
        match departure {
            Departure::Within { left, .. } => Some(left),
            Departure::TooLate => None,
            Departure::Unbounded => panic!("there is a deadline"),
        }
    }

    #[test]
    fn the_reserve_is_taken_off_and_the_least_is_enough() {
        for (remains, departure) in [
            (1000, Some(995 * MS)),
            (25, Some(20 * MS)),
            (24, None),
            (5, None),
            (0, None),
        ] {
            assert_eq!(depart(&config(), remains), departure, "{remains} ms");
        }
    }

    #[test]
    fn nothing_is_too_little_even_where_any_time_is_enough() {
        let config = PropagateDeadlineConfig {
            least: Duration::ZERO,
            ..config()
        };

        assert_eq!(depart(&config, 6), Some(MS));
        assert_eq!(depart(&config, 5), None);
    }

    #[test]
    fn a_deadline_that_has_passed_is_too_late() {
        let now = Instant::now();

        let departure = config().depart(Some(now), || now + MS);

        assert_eq!(departure, Departure::TooLate);
    }

    #[test]
    fn without_a_deadline_nothing_is_said_and_no_clock_is_read() {
        let no_clock = || unreachable!("nobody needs to know the time");

        assert_eq!(config().depart(None, no_clock), Departure::Unbounded);
        let at_most = PropagateDeadlineConfig {
            at_most: Some(700 * MS),
            ..config()
        };
        assert_eq!(left(at_most.depart(None, no_clock)), Some(700 * MS));
        assert_eq!(depart(&at_most, 1000), Some(700 * MS));
        assert_eq!(depart(&at_most, 405), Some(400 * MS));
    }

    #[test]
    fn the_time_is_the_callers_where_the_caller_leaves_the_least() {
        let now = Instant::now();
        let config = PropagateDeadlineConfig {
            at_most: Some(700 * MS),
            ..config()
        };
        let over = |remains: Option<u32>| {
            let deadline = remains.map(|remains| now + remains * MS);
            match config.depart(deadline, || now) {
                Departure::Within { over, .. } => over.map(|over| over - now),
                other => panic!("{other:?}"),
            }
        };

        assert_eq!(over(Some(405)), Some(399 * MS));
        assert_eq!(over(Some(705)), Some(699 * MS));
        assert_eq!(over(Some(706)), None);
        assert_eq!(over(None), None);
    }
}
