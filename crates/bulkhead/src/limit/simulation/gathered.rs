//! Samples that are gathered move a limit as if each were handed over at once, or almost so.

use std::iter;

use tokio::time::Instant;

use super::server::{Phase, Service, means, means_of, simulate};
use crate::limit::Gathering;
use crate::{Limit, LimitAlgorithm, Sample};

/// Hands an algorithm the samples that were gathered, as a bulkhead does.
pub(super) struct Gathered {
    algorithm: Box<dyn LimitAlgorithm>,
    gathering: Gathering,
    samples: u32,
    hand_overs: u32,
}

impl Gathered {
    pub(super) fn new(limit: &Limit, seed: u64) -> Self {
        let algorithm = limit.algorithm(seed);
        let gathering = Gathering::new(Instant::now());
        gathering.let_wait(algorithm.may_wait());
        Self {
            algorithm,
            gathering,
            samples: 0,
            hand_overs: 0,
        }
    }

    /// How many hand-overs there are for each sample.
    fn share(&self) -> f64 {
        f64::from(self.hand_overs) / f64::from(self.samples)
    }
}

impl LimitAlgorithm for Gathered {
    fn limit(&self) -> usize {
        self.algorithm.limit()
    }

    fn sample(&mut self, sample: &Sample) {
        self.samples += 1;
        if self.gathering.keep(sample) {
            return;
        }
        self.hand_overs += 1;
        for sample in self.gathering.take().chain(iter::once(*sample)) {
            self.algorithm.sample(&sample);
        }
        self.gathering.let_wait(self.algorithm.may_wait());
    }
}

/// So many times what 16 workers can do.
fn at(load: f64) -> Phase {
    Phase {
        rate: load * 1_600.0,
        ..Phase::default()
    }
}

#[test]
fn an_adaptive_limit_moves_alike_and_few_calls_hand_over() {
    let dead = Phase {
        workers: 0,
        ..at(2.0)
    };
    let slow = Phase {
        service: Service::Exponential { mean: 0.020 },
        ..at(2.0)
    };
    let limit = Limit::adaptive();
    for phases in [
        vec![at(0.01)],
        vec![at(0.5)],
        vec![at(0.9)],
        vec![at(1.2)],
        vec![at(10.0)],
        vec![at(2.0), slow, dead, at(2.0)],
    ] {
        let each = simulate(&mut *limit.algorithm(0), &phases, 0);
        let mut gathered = Gathered::new(&limit, 0);
        let together = simulate(&mut gathered, &phases, 0);

        assert_eq!(format!("{together:?}"), format!("{each:?}"));
        let share = gathered.share();
        assert!(share < 0.05, "{share} {phases:?}");
    }
}

#[test]
fn a_limit_that_may_move_with_each_sample_hardly_differs() {
    for limit in [Limit::aimd(), Limit::vegas(), Limit::gradient()] {
        for load in [0.9, 2.0, 10.0] {
            let each = &means_of(20, |seed| limit.algorithm(seed), &[at(load)])[0];
            let together = &means(&limit, &[at(load)])[0];

            let said = format!("{limit:?} at {load}: {together:?} {each:?}");
            let goodput = (together.goodput - each.goodput).abs();
            assert!(goodput < 0.01 * 1_600.0, "{said}");
            assert!((together.p99 - each.p99).abs() < 0.005, "{said}");
        }

        let mut gathered = Gathered::new(&limit, 0);
        simulate(&mut gathered, &[at(2.0)], 0);
        assert!(gathered.share() < 0.06, "{} {limit:?}", gathered.share());
    }
}
