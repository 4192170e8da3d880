use std::mem;
use std::time::Duration;

use tokio::time::Instant;

/// How quickly slots come free, learnt while somebody waits for one.
///
/// At other times nobody needs to know, and the clock is not read. While calls wait all slots are
/// taken, so that by Little's law it tells how long a call takes, too.
///
/// If all are refused for what is known, nobody waits, and nothing is learnt any more. So what has
/// not been seen for as long as a call takes is [doubted](Self::doubt), and somebody waits to see.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    /// The mean time from one slot to the next, in seconds.
    mean: f64,
    /// How many intervals are in the mean, as far as they count.
    weight: f64,
    /// When the last slot came free, or the first one began to wait who has not seen one come free.
    last: Option<Instant>,
    /// When something was last learnt, or was to be.
    learnt: Option<Instant>,
    /// Whether the next interval is to stand for all before.
    is_doubted: bool,
}

/// The least number of intervals to take the mean of.
const LEAST: usize = 16;

impl Drain {
    /// Takes note that somebody waits.
    pub(crate) fn joined(&mut self, now: Instant) {
        self.last.get_or_insert(now);
    }

    /// Takes note that one of `in_flight` calls ended while somebody waited.
    pub(crate) fn freed(&mut self, in_flight: usize, now: Instant) {
        if let Some(last) = self.last.replace(now) {
            self.learnt = Some(now);
            if mem::take(&mut self.is_doubted) {
                self.weight = 0.0;
            }
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

    /// Returns true if nothing was learnt for as long as a call takes, and then not for as long
    /// again.
    pub(crate) fn doubt(&mut self, in_flight: usize, now: Instant) -> bool {
        let Some(call) = self.time_for(in_flight, in_flight, now) else {
            return false;
        };
        let is_old = self
            .learnt
            .is_none_or(|learnt| now.saturating_duration_since(learnt) >= call);
        if is_old {
            self.learnt = Some(now);
            self.is_doubted = true;
        }
        is_old
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
    fn knows_nothing_until_somebody_has_seen_a_slot_come_free() {
        let start = Instant::now();
        let mut drain = Drain::default();
        drain.joined(start);
        assert_eq!(drain.time_for(1, 1, start + TICK), None);

        drain.freed(1, start + TICK);

        assert_eq!(drain.time_for(3, 1, start + TICK), Some(3 * TICK));
    }

    #[test]
    fn what_nobody_has_seen_for_as_long_as_a_call_takes_is_doubted_once() {
        let start = Instant::now();
        let mut drain = Drain::default();
        for tick in 0..20 {
            drain.freed(2, start + tick * 100 * TICK);
        }
        drain.drained();
        let last = start + 1_900 * TICK;

        // 100 ticks from one to the next of two: 200 ticks each.
        assert!(!drain.doubt(2, last + 199 * TICK));
        assert!(drain.doubt(2, last + 200 * TICK));
        assert!(!drain.doubt(2, last + 399 * TICK));
        assert_eq!(drain.time_for(1, 2, last), Some(100 * TICK));

        drain.joined(last + 300 * TICK);
        drain.freed(2, last + 301 * TICK);
        assert_eq!(drain.time_for(1, 2, last + 301 * TICK), Some(TICK));
        drain.freed(2, last + 304 * TICK);
        assert_eq!(drain.time_for(1, 2, last + 304 * TICK), Some(2 * TICK));
    }

    #[test]
    fn the_first_interval_may_be_from_one_slot_to_the_next() {
        let start = Instant::now();
        let mut drain = Drain::default();

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
