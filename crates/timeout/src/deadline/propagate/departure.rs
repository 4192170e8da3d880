use std::time::Duration;

use tokio::time::Instant;

use super::PropagateDeadlineConfig;

/// What the next service is told of a call.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Departure {
    /// Nothing: it may take as long as it takes.
    Unbounded,
    /// How long the caller waits.
    Within(Duration),
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
            Some(left) => Departure::Within(left),
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

    fn depart(config: &PropagateDeadlineConfig, remains: u32) -> Departure {
        let now = Instant::now();
        config.depart(Some(now + remains * MS), || now)
    }

    #[test]
    fn the_reserve_is_taken_off_and_the_least_is_enough() {
        for (remains, departure) in [
            (1000, Departure::Within(995 * MS)),
            (25, Departure::Within(20 * MS)),
            (24, Departure::TooLate),
            (5, Departure::TooLate),
            (0, Departure::TooLate),
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

        assert_eq!(depart(&config, 6), Departure::Within(MS));
        assert_eq!(depart(&config, 5), Departure::TooLate);
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
        let within = Departure::Within(700 * MS);
        assert_eq!(at_most.depart(None, no_clock), within);
        assert_eq!(depart(&at_most, 1000), within);
        assert_eq!(depart(&at_most, 405), Departure::Within(400 * MS));
    }
}
