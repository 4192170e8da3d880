//! More calls than the service can do: 16 workers are good for 1,600 calls of 10 ms a second, and
//! callers give up after 100 ms. Every run begins with a cold start, which counts.

use super::gathered::Gathered;
use super::server::{Phase, Report, Service, means_of};
use crate::Limit;

const CAPACITY: f64 = 1_600.0;

const LOADS: [f64; 4] = [1.2, 2.0, 5.0, 10.0];

const EXPONENTIAL: Service = Service::Exponential { mean: 0.010 };

fn at(load: f64, service: Service) -> Phase {
    Phase {
        rate: load * CAPACITY,
        service,
        ..Phase::default()
    }
}

/// Runs a phase against a limit as it is in a bulkhead, with so many seeds, and returns the means.
fn mean(limit: &Limit, phase: Phase, seeds: u64) -> Report {
    means_of(seeds, |seed| Box::new(Gathered::new(limit, seed)), &[phase]).remove(0)
}

/// Where it is a near thing, it takes many runs to tell the limit from the luck of 20: at 0.9 times
/// the capacity, and at 1.2 times, where few calls meet the limit and a lull leaves workers idle.
const fn seeds(load: f64) -> u64 {
    if load < 2.0 { 100 } else { 20 }
}

#[test]
fn adaptive_keeps_the_service_busy_and_the_calls_fast() {
    for load in LOADS {
        let report = mean(&Limit::adaptive(), at(load, EXPONENTIAL), seeds(load));

        assert!(report.goodput >= 0.98 * CAPACITY, "{load}: {report:?}");
        assert!(report.p99 <= 0.060, "{load}: {report:?}");
    }
}

#[test]
fn adaptive_refuses_next_to_nothing_below_the_capacity() {
    let report = mean(&Limit::adaptive(), at(0.9, EXPONENTIAL), seeds(0.9));

    assert!(report.refused <= 0.001, "{report:?}");
}

/// No limit can do better than to have all workers at work, and the calls that take longer than
/// callers wait are lost whatever the limit. So this is more than 95 % of what the best static
/// limit does.
fn holds_for_variation(variation: f64) {
    let service = Service::LogNormal {
        mean: 0.010,
        variation,
    };
    let best = CAPACITY * service.share_in_time();
    for load in LOADS {
        let report = mean(&Limit::adaptive(), at(load, service), seeds(load));

        assert!(report.goodput >= 0.95 * best, "{load}: {report:?}");
        assert!(report.wait_p99 <= 0.015, "{load}: {report:?}");
    }
}

#[test]
fn adaptive_holds_for_calls_that_are_much_alike() {
    holds_for_variation(0.2);
}

#[test]
fn adaptive_holds_for_calls_that_vary() {
    holds_for_variation(1.0);
    holds_for_variation(2.0);
}

#[test]
fn adaptive_holds_for_calls_of_which_few_are_most_of_the_work() {
    holds_for_variation(3.0);
}

/// What the others do, for scale.
#[test]
fn the_other_algorithms_waste_the_service_or_the_time_of_the_calls() {
    let run = |limit| -> Report { mean(&limit, at(2.0, EXPONENTIAL), 20) };

    let aimd = run(Limit::aimd());
    assert!(
        (0.60..0.70).contains(&(aimd.goodput / CAPACITY)),
        "{aimd:?}"
    );
    let vegas = run(Limit::vegas());
    assert!(
        (0.34..0.40).contains(&(vegas.goodput / CAPACITY)),
        "{vegas:?}"
    );
    let gradient = run(Limit::gradient());
    assert!(gradient.goodput > 0.98 * CAPACITY, "{gradient:?}");
    assert!(gradient.wait_p99 > 0.025, "{gradient:?}");
}
