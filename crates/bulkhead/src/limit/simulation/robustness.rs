//! What may fool a limit: calls that do not need it, that all time out, that are fast by luck or
//! because they fail, and a service that changes.

use std::time::Duration;

use tokio::time::Instant;
use watertight_core::nanos;

use super::gathered::Gathered;
use super::server::{Phase, Report, Service, means, means_of, simulate};
use crate::limit::Thinning;
use crate::{Limit, LimitAlgorithm, Sample};

/// Twice what the service can do, for 10 s.
const OVERLOAD: Phase = Phase {
    length: 10.0,
    rate: 3_200.0,
    workers: 16,
    service: Service::Exponential { mean: 0.010 },
    fail_fast: 0.0,
};

/// Runs them with seeds 0 to 19, and returns the means.
fn run(phases: &[Phase]) -> Vec<Report> {
    means(&Limit::adaptive(), phases)
}

#[test]
fn a_phase_without_need_does_not_raise_the_limit() {
    let idle = Phase {
        length: 300.0,
        rate: 100.0,
        ..OVERLOAD
    };
    assert_eq!(run(&[idle])[0].limit, 20);

    let half = Phase {
        rate: 800.0,
        ..idle
    };
    let reports = run(&[
        half,
        Phase {
            length: 1.0,
            ..OVERLOAD
        },
        OVERLOAD,
    ]);

    // As many as are met by chance, and then overload finds it soon.
    assert!(reports[0].limit <= 64, "{reports:?}");
    assert!(reports[1].p99 < 0.080, "{reports:?}");
    assert!(reports[2].p99 < 0.060, "{reports:?}");
    assert!(reports[2].goodput > 1_500.0, "{reports:?}");
}

#[test]
fn timeouts_however_stable_lower_the_limit_and_it_comes_back() {
    let dead = Phase {
        length: 30.0,
        workers: 0,
        ..OVERLOAD
    };
    for before in [&[][..], &[OVERLOAD]] {
        let phases = [before, &[dead, OVERLOAD, OVERLOAD]].concat();
        let reports = run(&phases);
        let [.., dead, _, again] = &reports[..] else {
            unreachable!();
        };

        assert_eq!(dead.limit, 1, "{reports:?}");
        assert!(again.goodput > 1_500.0, "{reports:?}");
    }
}

/// Sees to it that a limit does not rise once the service is dead.
struct NeverRising {
    algorithm: Gathered,
    /// When the first call ended.
    first: Option<Instant>,
}

impl LimitAlgorithm for NeverRising {
    fn limit(&self) -> usize {
        self.algorithm.limit()
    }

    fn sample(&mut self, sample: &Sample) {
        let first = *self.first.get_or_insert(sample.ended);
        let before = self.limit();
        self.algorithm.sample(sample);
        let (now, at) = (self.limit(), sample.ended - first);
        // The calls that were at work then end well for a while.
        let is_dead = at.as_secs_f64() > OVERLOAD.length + 1.0;
        assert!(
            now <= before || !is_dead,
            "from {before} to {now} at {at:?}"
        );
    }
}

/// A probe is no more than what is left of the limit either, though what the service worked on
/// before is all that is known.
#[test]
fn the_limit_of_a_dead_service_does_not_rise_for_a_probe() {
    let dead = Phase {
        length: 120.0,
        workers: 0,
        ..OVERLOAD
    };
    for seed in 0..20 {
        let mut limit = NeverRising {
            algorithm: Gathered::new(&Limit::adaptive(), seed),
            first: None,
        };
        simulate(&mut limit, &[OVERLOAD, dead], seed);
    }
}

/// Hands an algorithm one call in a hundred as if it had taken no time.
struct Lucky {
    algorithm: Gathered,
    calls: u32,
}

impl LimitAlgorithm for Lucky {
    fn limit(&self) -> usize {
        self.algorithm.limit()
    }

    fn sample(&mut self, sample: &Sample) {
        self.calls += 1;
        let mut sample = *sample;
        if self.calls.is_multiple_of(100) {
            sample.duration = Duration::ZERO;
        }
        self.algorithm.sample(&sample);
    }
}

#[test]
fn lucky_fast_calls_do_not_lower_the_limit() {
    let goodput = |limit: &Limit| {
        let lucky = |seed| -> Box<dyn LimitAlgorithm> {
            Box::new(Lucky {
                algorithm: Gathered::new(limit, seed),
                calls: 0,
            })
        };
        means_of(20, lucky, &[OVERLOAD])[0].goodput
    };

    assert!(goodput(&Limit::adaptive()) > 1_500.0);
    assert!(goodput(&Limit::vegas()) < 800.0);
}

#[test]
fn fast_errors_say_nothing() {
    let failing = Phase {
        rate: 6_400.0,
        fail_fast: 0.5,
        ..OVERLOAD
    };
    let reports = run(&[OVERLOAD, failing, OVERLOAD]);

    for report in &reports {
        assert!(
            report.goodput > 1_520.0 && report.p99 < 0.060,
            "{reports:?}"
        );
    }
}

#[test]
fn follows_a_service_that_slows_down_and_recovers() {
    let slow = Phase {
        length: 20.0,
        service: Service::Exponential { mean: 0.020 },
        ..OVERLOAD
    };
    let reports = run(&[OVERLOAD, slow, slow, OVERLOAD, OVERLOAD, OVERLOAD]);

    assert!(reports[2].goodput > 0.90 * 800.0, "{reports:?}");
    assert!(reports[5].goodput > 0.98 * 1_600.0, "{reports:?}");
    assert!(reports[5].p99 < 0.060, "{reports:?}");
}

#[test]
fn follows_a_service_that_loses_workers_and_regains_them() {
    let fewer = Phase {
        length: 20.0,
        workers: 8,
        ..OVERLOAD
    };
    let reports = run(&[OVERLOAD, fewer, fewer, OVERLOAD, OVERLOAD, OVERLOAD]);

    assert!(reports[2].goodput > 0.95 * 800.0, "{reports:?}");
    assert!(reports[5].goodput > 0.97 * 1_600.0, "{reports:?}");
    assert!(reports[5].p99 < 0.060, "{reports:?}");
}

#[test]
fn finds_its_way_to_many_workers() {
    let many = Phase {
        rate: 20_000.0,
        workers: 100,
        ..OVERLOAD
    };
    let reports = run(&[many, many]);

    assert!(reports[1].goodput > 0.95 * 10_000.0, "{reports:?}");
    assert!(reports[1].wait_p99 < 0.015, "{reports:?}");
}

/// Hands an algorithm what is let through.
#[derive(Debug)]
struct Thinned<A> {
    algorithm: A,
    thinning: Thinning,
    /// When the first call ended.
    first: Option<Instant>,
    calls: u32,
    samples: u32,
}

impl LimitAlgorithm for Thinned<Box<dyn LimitAlgorithm>> {
    fn limit(&self) -> usize {
        self.algorithm.limit()
    }

    fn sample(&mut self, sample: &Sample) {
        self.calls += 1;
        let first = *self.first.get_or_insert(sample.ended);
        if self.thinning.lets_through(nanos(sample.ended - first)) {
            self.samples += 1;
            self.algorithm.sample(sample);
        }
    }
}

#[test]
fn where_there_are_many_samples_a_tenth_of_them_is_enough() {
    for load in [1.2, 2.0, 10.0] {
        let short = Phase {
            length: 3.0,
            rate: load * 160_000.0,
            service: Service::Exponential { mean: 0.000_1 },
            ..OVERLOAD
        };
        let all = &simulate(&mut *Limit::adaptive().algorithm(0), &[short], 0)[0];

        let mut thinned = Thinned {
            algorithm: Limit::adaptive().algorithm(0),
            thinning: Thinning::default(),
            first: None,
            calls: 0,
            samples: 0,
        };
        let some = &simulate(&mut thinned, &[short], 0)[0];

        let share = f64::from(thinned.samples) / f64::from(thinned.calls);
        assert!((0.08..0.12).contains(&share), "{load}: {share}");
        assert!(some.goodput > 0.98 * all.goodput, "{some:?} {all:?}");
        assert!(some.p99 < 1.1 * all.p99, "{some:?} {all:?}");
    }
}
