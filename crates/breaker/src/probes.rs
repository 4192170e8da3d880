use watertight_metrics::Figures;

use crate::BreakerConfig;

/// The probes of one half-open state.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Probes {
    in_flight: u32,
    finished: u32,
    failed: f64,
}

/// What the probes say together.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Decision {
    /// Not enough yet.
    Wait,
    /// The backend is well.
    Close,
    /// It is not.
    Open,
}

impl Probes {
    /// Takes a place for one more probe, if there is one.
    pub(crate) fn take_place(&mut self, config: &BreakerConfig) -> bool {
        let free = self.has_place(config);
        if free {
            self.in_flight += 1;
        }
        free
    }

    pub(crate) fn has_place(&self, config: &BreakerConfig) -> bool {
        self.in_flight < config.half_open_calls
    }

    /// Gives a probe's place back.
    pub(crate) fn free_place(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether one is in flight or has failed. Without either, nothing hangs and nothing speaks
    /// against the backend: calls are only few.
    pub(crate) fn are_in_doubt(&self) -> bool {
        self.in_flight > 0 || self.failed > 0.0
    }

    /// Counts the result of a probe, where 0 is a success and 1 a whole failure, and decides.
    pub(crate) fn finish(&mut self, weight: f64, config: &BreakerConfig) -> Decision {
        self.finished += 1;
        self.failed += weight.min(1.0);

        let enough = self.finished >= config.close_after;
        match config.half_open_failure_rate {
            None if weight > 0.0 => Decision::Open,
            Some(rate) if enough && self.failure_rate() >= rate => Decision::Open,
            _ if enough => Decision::Close,
            _ => Decision::Wait,
        }
    }

    fn failure_rate(&self) -> f64 {
        self.failed / f64::from(self.finished)
    }

    pub(crate) fn figures(&self) -> Figures {
        Figures {
            calls: Some(u64::from(self.finished)),
            failure_rate: (self.finished > 0).then(|| self.failure_rate()),
            ..Figures::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(half_open_calls: u32, close_after: u32, failure_rate: Option<f64>) -> BreakerConfig {
        BreakerConfig {
            half_open_calls,
            close_after,
            half_open_failure_rate: failure_rate,
            ..BreakerConfig::default()
        }
    }

    fn finish(config: &BreakerConfig, weights: &[f64]) -> Vec<Decision> {
        let mut probes = Probes::default();
        weights
            .iter()
            .map(|weight| probes.finish(*weight, config))
            .collect()
    }

    #[test]
    fn only_so_many_are_in_flight() {
        let config = config(4, 4, None);
        let mut probes = Probes::default();

        let taken: Vec<bool> = (0..6).map(|_| probes.take_place(&config)).collect();
        assert_eq!(taken, [true, true, true, true, false, false]);

        probes.free_place();
        assert!(probes.take_place(&config));
        assert!(!probes.take_place(&config));
    }

    #[test]
    fn enough_successes_close_and_one_failure_opens() {
        use Decision::{Close, Open, Wait};
        let config = config(3, 3, None);

        assert_eq!(finish(&config, &[0.0, 0.0, 0.0]), [Wait, Wait, Close]);
        assert_eq!(finish(&config, &[0.0, 0.0, 1.0]), [Wait, Wait, Open]);
        assert_eq!(finish(&config, &[1.0]), [Open]);
    }

    #[test]
    fn a_probe_is_one_failure_at_most() {
        use Decision::{Close, Wait};
        let config = config(3, 3, Some(0.5));

        assert_eq!(finish(&config, &[16.0, 0.0, 0.0]), [Wait, Wait, Close]);
    }

    #[test]
    fn a_rate_decides_once_over_all() {
        use Decision::{Close, Open, Wait};
        let config = config(4, 4, Some(0.5));

        assert_eq!(
            finish(&config, &[1.0, 1.0, 0.0, 1.0]),
            [Wait, Wait, Wait, Open]
        );
        assert_eq!(
            finish(&config, &[1.0, 0.0, 0.0, 0.0]),
            [Wait, Wait, Wait, Close]
        );
        assert_eq!(
            finish(&config, &[1.0, 1.0, 0.0, 0.0]),
            [Wait, Wait, Wait, Open]
        );
    }
}
