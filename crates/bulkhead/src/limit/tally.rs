use crate::Sample;

/// Sums over calls, of which the older may count less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) calls: f64,
    served: f64,
    /// How long they took together, in seconds.
    time: f64,
    in_flight: f64,
    met: f64,
}

impl Tally {
    pub(super) fn add(&mut self, sample: &Sample, met: bool) {
        self.calls += 1.0;
        self.served += if sample.dropped { 0.0 } else { 1.0 };
        self.time += sample.duration.as_secs_f64();
        self.in_flight += sample.in_flight as f64;
        self.met += if met { 1.0 } else { 0.0 };
    }

    /// Lets what is there count less, `weight` of what it did, and adds `later`.
    pub(super) fn fold(&mut self, weight: f64, later: &Self) {
        self.calls = self.calls * weight + later.calls;
        self.served = self.served * weight + later.served;
        self.time = self.time * weight + later.time;
        self.in_flight = self.in_flight * weight + later.in_flight;
        self.met = self.met * weight + later.met;
    }

    /// How long calls were in flight for each one that was served, in seconds. Drops count with
    /// their time, so where all calls are dropped there is none.
    pub(super) fn latency(&self) -> Option<f64> {
        (self.served > 0.0).then(|| self.time / self.served)
    }

    /// How many calls are in flight on average.
    pub(super) fn in_flight(&self) -> f64 {
        self.in_flight / self.calls
    }

    /// The share of calls that met the limit.
    pub(super) fn met(&self) -> f64 {
        self.met / self.calls
    }

    /// The share of calls that were dropped.
    pub(super) fn dropped(&self) -> f64 {
        1.0 - self.served / self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{drop, served};
    use super::*;

    fn is_near(value: Option<f64>, expected: f64) -> bool {
        value.is_some_and(|value| (value - expected).abs() < 1e-9)
    }

    #[test]
    fn counts_the_time_of_drops_towards_the_calls_that_are_served() {
        let mut tally = Tally::default();
        tally.add(&served(10, 3), false);
        tally.add(&drop(90, 5), true);

        let figures = [tally.in_flight(), tally.met(), tally.dropped()];
        assert_eq!(figures, [4.0, 0.5, 0.5]);
        assert!(is_near(tally.latency(), 0.100));
    }

    #[test]
    fn has_no_latency_of_drops_alone() {
        let mut tally = Tally::default();
        tally.add(&drop(90, 5), true);

        assert_eq!(tally.latency(), None);
        assert_eq!(tally.dropped(), 1.0);
    }

    #[test]
    fn the_older_count_less() {
        let (mut tally, mut later) = (Tally::default(), Tally::default());
        tally.add(&served(10, 1), false);
        later.add(&served(40, 4), true);

        tally.fold(0.5, &later);

        assert!(is_near(Some(tally.in_flight()), 3.0));
        assert!(is_near(tally.latency(), 0.030));
    }
}
