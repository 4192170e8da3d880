use std::time::Duration;

use tokio::time::Instant;

/// How quickly slots come free, learnt while somebody waits for one.
///
/// At other times nobody needs to know, and the clock is not read. While calls wait all slots are
/// taken, so that by Little's law it tells how long a call takes, too.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// The mean time from one slot to the next, in seconds.
    mean: f64,
    /// How many intervals are in the mean, as far as they count.
    weight: f64,
    /// When the last slot came free, if somebody has been waiting since.
    last: Option<Instant>,
}

/// The least number of intervals to take the mean of.
const LEAST: usize = 16;

impl Drain {
    /// Takes note that one of `in_flight` calls ended while somebody waited.
    pub(crate) fn freed(&mut self, in_flight: usize, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            // Calls that came together end together: the mean is of one after another of them all.
            self.weight = (self.weight + 1.0).min(in_flight.max(LEAST) as f64);
            self.mean += (seconds(last, now) - self.mean) / self.weight;
        }
    }

    /// Takes note that nobody waits any more.
    pub(crate) fn drained(&mut self) {
        self.last = None;
    }

    /// Returns how long it takes until `count` of `in_flight` calls have ended, if that is known.
    /// With as many as are in flight it is the time that one call takes.
    pub(crate) fn time_for(
        &self,
        count: usize,
        in_flight: usize,
        now: Instant,
    ) -> Option<Duration> {
        if self.weight == 0.0 {
            return None;
        }
        // Each call takes at least as long as none of them has ended.
        let quiet = self.last.map_or(0.0, |last| seconds(last, now));
        let interval = self.mean.max(quiet / in_flight.max(1) as f64);
        Duration::try_from_secs_f64(interval * count as f64).ok()
    }
}

fn seconds(since: Instant, now: Instant) -> f64 {
    now.saturating_duration_since(since).as_secs_f64()
}

#[cfg(all(test, not(watertight_loom)))]
mod tests {
    use super::*;

    const TICK: Duration = Duration::from_millis(10);

    #[test]
    fn knows_nothing_until_two_slots_came_free() {
        let start = Instant::now();
        let mut drain = Drain::default();
        assert_eq!(drain.time_for(1, 1, start), None);

        drain.freed(1, start);
        assert_eq!(drain.time_for(1, 1, start), None);

        drain.freed(1, start + TICK);
        assert_eq!(drain.time_for(3, 1, start + TICK), Some(3 * TICK));
    }

    #[test]
    fn time_in_which_nobody_waits_is_not_counted() {
        let start = Instant::now();
        let mut drain = Drain::default();
        drain.freed(1, start);
        drain.freed(1, start + TICK);

        drain.drained();
        drain.freed(1, start + 100 * TICK);

        assert_eq!(drain.time_for(1, 1, start + 100 * TICK), Some(TICK));
    }

    #[test]
    fn follows_a_service_that_slows_down() {
        let mut now = Instant::now();
        let mut drain = Drain::default();
        for interval in [TICK; 20].into_iter().chain([4 * TICK; 80]) {
            now += interval;
            drain.freed(4, now);
        }

        let expected = drain.time_for(1, 4, now).unwrap();

        assert!(expected > TICK * 39 / 10 && expected <= 4 * TICK);
    }

    #[test]
    fn calls_that_take_longer_than_ever_are_not_expected_soon() {
        let mut now = Instant::now();
        let mut drain = Drain::default();
        for _ in 0..20 {
            now += TICK;
            drain.freed(4, now);
        }

        assert_eq!(drain.time_for(1, 4, now + 4 * TICK), Some(TICK));
        assert_eq!(drain.time_for(1, 4, now + 400 * TICK), Some(100 * TICK));
    }

    #[test]
    fn calls_that_end_together_are_as_many_as_one_by_one() {
        let mut now = Instant::now();
        let mut drain = Drain::default();
        for _ in 0..20 {
            now += 100 * TICK;
            for _ in 0..100 {
                drain.freed(100, now);
            }
        }

        let expected = drain.time_for(1, 100, now).unwrap();

        assert!(
            expected > TICK / 3 && expected < 2 * TICK,
            "{expected:?} for {TICK:?}"
        );
    }
}
