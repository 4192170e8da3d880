use std::time::Duration;

use super::Demand;
use super::erlang::{erlang_b, spread, wait_of_waiting, waiting, with_one_more};

/// What becomes of the calls of a [`Demand`] at a limit.
///
/// What it says of waiting is for a queue that holds whoever comes. Made by [`Demand::forecast`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Forecast {
    demand: Demand,
    load: f64,
    limit: usize,
    blocked: f64,
}

impl Forecast {
    pub(super) fn new(demand: Demand, limit: usize) -> Self {
        let load = demand.load();
        Self {
            demand,
            load,
            limit,
            blocked: erlang_b(limit, load),
        }
    }

    /// Returns what one more slot makes of it.
    pub(super) fn with_one_more(self) -> Self {
        let limit = self.limit + 1;
        Self {
            limit,
            blocked: with_one_more(self.blocked, limit, self.load),
            ..self
        }
    }

    /// Returns how many calls may be in flight.
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }

    /// Returns the share of the slots that is in use if all calls are served. At 1 and above the
    /// queue never ends.
    #[must_use]
    pub fn utilization(&self) -> f64 {
        self.load / self.limit as f64
    }

    /// Returns the share of the calls that is refused where none waits.
    #[must_use]
    pub const fn refused_without_queue(&self) -> f64 {
        self.blocked
    }

    /// Returns the share of the calls that have to wait.
    #[must_use]
    pub fn waiting(&self) -> f64 {
        waiting(self.blocked, self.limit, self.load)
    }

    /// Returns how long calls wait on average, with those that do not. [`Duration::MAX`] if the
    /// queue never ends.
    #[must_use]
    pub fn mean_wait(&self) -> Duration {
        duration(self.waiting() * self.wait_of_waiting())
    }

    /// Returns how many calls wait on average. Infinite if the queue never ends.
    #[must_use]
    pub fn mean_queue(&self) -> f64 {
        self.waiting() * self.queue_of_waiting()
    }

    /// Returns the share of the calls that wait longer than `time`.
    #[must_use]
    pub fn waiting_longer_than(&self, time: Duration) -> f64 {
        self.waiting() * (-time.as_secs_f64() / self.wait_of_waiting()).exp()
    }

    /// Returns how long all but the slowest calls wait: 0.99 for the 99th percentile. At 1 and above
    /// [`Duration::MAX`].
    #[must_use]
    pub fn wait_percentile(&self, percentile: f64) -> Duration {
        let longer = (1.0 - percentile).max(0.0);
        let waiting = self.waiting();
        if waiting <= longer {
            return Duration::ZERO;
        }
        duration((waiting / longer).ln() * self.wait_of_waiting())
    }

    /// Returns how many have to be able to wait so that at most the share `refused` of the calls
    /// finds the queue full. `None` if the queue never ends.
    pub(super) fn queue_for(&self, refused: f64) -> Option<usize> {
        let waiting = self.waiting();
        if waiting <= refused {
            return Some(0);
        }
        let ahead = self.queue_of_waiting();
        // The number ahead is geometric, with that mean.
        let shrinks = (ahead / (1.0 + ahead)).ln();
        let calls = ((refused / waiting).ln() / shrinks).ceil();
        calls.is_finite().then_some(calls as usize)
    }

    /// The mean wait of those that have to wait, in seconds.
    fn wait_of_waiting(&self) -> f64 {
        let service_times = wait_of_waiting(self.limit, self.load, self.demand.variation);
        service_times * self.demand.service_time.as_secs_f64()
    }

    /// How many wait on average while all slots are taken.
    fn queue_of_waiting(&self) -> f64 {
        let utilization = self.utilization();
        if utilization >= 1.0 {
            return f64::INFINITY;
        }
        spread(self.demand.variation) * utilization / (1.0 - utilization)
    }
}

fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn forecast(limit: usize, load: f64) -> Forecast {
        Demand::new(load, SECOND).forecast(limit).unwrap()
    }

    /// Slots, load, mean queue, and the share that waits longer than a service time, from exact
    /// rationals.
    const ROWS: [(usize, f64, f64, f64); 9] = [
        (1, 0.5, 0.5, 0.303265329856),
        (2, 1.0, 1.0 / 3.0, 0.122626480390),
        (3, 2.0, 8.0 / 9.0, 0.163501973854),
        (5, 4.0, 512.0 / 231.0, 0.203846616753),
        (6, 5.0, 2.937582252303, 0.216135223474),
        (8, 6.0, 1.070943257636, 0.048312136368),
        (10, 8.0, 1.636720603186, 0.055376511603),
        (20, 16.0, 1.024311175356, 0.004690228399),
        (100, 80.0, 0.078585706538, 4.049430342538e-11),
    ];

    #[test]
    fn agrees_with_exact_rows() {
        for (limit, load, queue, longer) in ROWS {
            let forecast = forecast(limit, load);
            assert!((forecast.mean_queue() - queue).abs() < 1e-9, "{limit}");
            let is_longer = forecast.waiting_longer_than(SECOND);
            assert!((is_longer - longer).abs() < 1e-9, "{limit}");
        }
    }

    #[test]
    fn percentiles_are_where_so_few_wait_longer() {
        let forecast = forecast(10, 8.0);

        let p99 = forecast.wait_percentile(0.99);
        assert!((forecast.waiting_longer_than(p99) - 0.01).abs() < 1e-9);
        assert_eq!(forecast.wait_percentile(0.5), Duration::ZERO);
        assert_eq!(forecast.wait_percentile(1.0), Duration::MAX);
    }

    #[test]
    fn too_few_slots_make_a_queue_without_end() {
        let forecast = forecast(4, 5.0);

        assert_eq!(forecast.utilization(), 1.25);
        assert_eq!(forecast.waiting(), 1.0);
        assert_eq!(forecast.mean_wait(), Duration::MAX);
        assert_eq!(forecast.mean_queue(), f64::INFINITY);
        assert_eq!(forecast.waiting_longer_than(SECOND), 1.0);
        assert_eq!(forecast.wait_percentile(0.99), Duration::MAX);
        assert_eq!(forecast.queue_for(0.001), None);
    }

    #[test]
    fn one_more_slot_is_as_if_made_so() {
        assert_eq!(forecast(7, 5.0).with_one_more(), forecast(8, 5.0));
    }

    /// Service times as varied as exponential ones make a queue that shrinks by the utilization.
    #[test]
    fn the_queue_holds_all_but_so_few() {
        let forecast = forecast(10, 8.0);

        let calls = forecast.queue_for(0.001).unwrap();

        let full = |calls: usize| forecast.waiting() * 0.8_f64.powi(calls as i32);
        assert!(full(calls) <= 0.001 && full(calls - 1) > 0.001, "{calls}");
    }
}
