//! What an adaptive timeout does, on simulated time. The seeds are fixed.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::env;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use rand_distr::{Distribution, LogNormal};
use tokio::time::Instant;
use watertight_core::Name;
use watertight_metrics::Registry;

use crate::control::Control;
use crate::counts::Counts;
use crate::explorers::Explorer;
use crate::machine::Machine;
use crate::plan::in_nanos;
use crate::way::Way;
use crate::{Adaptive, TimeoutConfig};

const MS: Duration = Duration::from_millis(1);

/// Calls that come at an even rate.
struct Simulation {
    way: Way,
    start: Instant,
    now: u64,
    gap: u64,
    rng: SmallRng,
    pending: BinaryHeap<Reverse<(u64, u64, Call)>>,
    calls: u64,
    cut: u64,
    /// After how many milliseconds a caller gives up.
    patience: fn(&mut SmallRng) -> Option<f64>,
    /// How many callers would have waited for as long as calls may take.
    patient: u64,
    /// Those of `cut` that would have ended while they were waited for.
    falsely: u64,
    explored: u64,
    lowest: Duration,
    highest: Duration,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Call {
    began: u64,
    /// How long it takes. `None` hangs.
    takes: Option<u64>,
    /// After how long it is given up.
    patience: Option<u64>,
    limit: u64,
    teaches: bool,
    explorer: Option<Explorer>,
}

/// What comes first.
enum End {
    Answered(u64),
    GivenUp(u64),
    Expired,
}

impl Call {
    fn end(&self) -> End {
        let limit = self.limit;
        let took = self.takes.filter(|took| *took <= limit);
        match self.patience {
            Some(patience) if patience < took.unwrap_or(limit) => End::GivenUp(patience),
            _ => took.map_or(End::Expired, End::Answered),
        }
    }

    fn ends_at(&self) -> u64 {
        self.began
            + match self.end() {
                End::Answered(after) | End::GivenUp(after) => after,
                End::Expired => self.limit,
            }
    }
}

/// Durations with this mean and standard deviation in milliseconds.
fn lognormal(mean: f64, deviation: f64) -> LogNormal<f64> {
    let variance = (1.0 + (deviation / mean).powi(2)).ln();
    LogNormal::new(mean.ln() - variance / 2.0, variance.sqrt()).unwrap()
}

impl Simulation {
    fn new(adaptive: Adaptive, per_second: u64, seed: u64) -> Self {
        let start = Instant::now();
        let registry = Registry::new();
        let counts = Counts::new(
            Name::new("sim"),
            registry.reporter(Counts::KIND, Name::new("sim")),
        );
        let config = TimeoutConfig {
            limit: adaptive.into(),
            ..TimeoutConfig::default()
        };
        let control = Arc::new(Control::new(config, counts, start));
        Self {
            way: Way::new(Arc::new(Machine::new(control, None))),
            start,
            now: 0,
            gap: 1_000_000_000 / per_second,
            rng: SmallRng::seed_from_u64(seed),
            pending: BinaryHeap::new(),
            calls: 0,
            cut: 0,
            patience: |_| None,
            patient: 0,
            falsely: 0,
            explored: 0,
            lowest: Duration::MAX,
            highest: Duration::ZERO,
        }
    }

    fn timeout(&self) -> Duration {
        self.way.timeout().unwrap()
    }

    /// Starts to count anew.
    fn forget(&mut self) {
        (self.calls, self.cut, self.falsely, self.explored) = (0, 0, 0, 0);
        self.patient = 0;
        (self.lowest, self.highest) = (Duration::MAX, Duration::ZERO);
    }

    /// Makes calls, whose durations in milliseconds `draw` says. `None` hangs.
    fn run(&mut self, calls: u64, mut draw: impl FnMut(&mut SmallRng) -> Option<f64>) {
        for _ in 0..calls {
            self.now += self.gap;
            self.end_until(self.now);
            let ms = draw(&mut self.rng);
            self.call(ms.map(|ms| (ms * 1e6) as u64));
            self.lowest = self.lowest.min(self.timeout());
            self.highest = self.highest.max(self.timeout());
        }
    }

    fn call(&mut self, takes: Option<u64>) {
        let start = self.way.start(self.way.control.plan());
        let patience = (self.patience)(&mut self.rng).map(|ms| (ms * 1e6) as u64);
        self.calls += 1;
        self.patient += u64::from(patience.is_none());
        self.wait_for(Call {
            began: self.now,
            takes,
            patience,
            limit: start.limit,
            teaches: start.teaches,
            explorer: None,
        });
    }

    fn wait_for(&mut self, call: Call) {
        self.pending
            .push(Reverse((call.ends_at(), self.calls, call)));
    }

    fn end_until(&mut self, until: u64) {
        while let Some(Reverse((at, ..))) = self.pending.peek()
            && *at <= until
            && let Some(Reverse((at, _, call))) = self.pending.pop()
        {
            let now = self.start + Duration::from_nanos(at);
            match call.end() {
                End::Expired => self.expired(call, now),
                End::Answered(took) => match call.explorer {
                    Some(explorer) => self.way.came_back(explorer, took, call.teaches, now),
                    None if call.teaches => self.way.record(took, now),
                    None => {}
                },
                End::GivenUp(after) => match call.explorer {
                    Some(explorer) => self.way.given_up_exploring(explorer, after),
                    None if call.teaches => self.way.given_up(after, now),
                    None => {}
                },
            }
        }
    }

    fn expired(&mut self, call: Call, now: Instant) {
        if let Some(explorer) = call.explorer {
            self.way.lost(explorer, call.limit);
        } else if call.teaches {
            if let Some((explorer, longest)) = self.way.goes_on(call.began, call.limit, now) {
                self.explored += 1;
                return self.wait_for(Call {
                    limit: longest,
                    explorer: Some(explorer),
                    ..call
                });
            }
            self.way.cut(call.limit, now);
        }
        self.cut += 1;
        let max = in_nanos(self.way.control.adaptive().unwrap().max);
        let waited = call.patience.unwrap_or(max).min(max);
        self.falsely += u64::from(call.takes.is_some_and(|takes| takes <= waited));
    }
}

/// A service that takes 5 ms, give or take 2 ms: the timeout is 13 ms, half as long again as the
/// 95th percentile.
fn usual(rng: &mut SmallRng) -> Option<f64> {
    Some(lognormal(5.0, 2.0).sample(rng))
}

fn ten_times_slower(rng: &mut SmallRng) -> Option<f64> {
    usual(rng).map(|ms| 10.0 * ms)
}

/// Whether a timeout lies between so many milliseconds.
fn within(timeout: Duration, low: u32, high: u32) -> bool {
    (low * MS..=high * MS).contains(&timeout)
}

/// Plays `play` at several rates, with so many seeds, until the timeout has settled.
fn settled(seeds: u64, play: impl Fn(&mut Simulation, u64)) {
    for rate in [20, 100, 500, 1_000, 8_100, 20_000] {
        for seed in 0..scaled(seeds) {
            let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
            // How long a change may take: 5,000 calls, or two seconds.
            let enough = (2 * rate).max(5_000);
            simulation.run(3 * enough, usual);
            assert!(within(simulation.timeout(), 12, 15));
            simulation.forget();
            play(&mut simulation, enough);
        }
    }
}

fn scaled(n: u64) -> u64 {
    let scale = env::var("WATERTIGHT_SCALE").ok();
    let scale: f64 = scale.map_or(1.0, |scale| scale.parse().expect("a number"));
    (n as f64 * scale).ceil() as u64
}

#[test]
fn follows_a_service_that_becomes_ten_times_slower_and_faster_again() {
    settled(5, |simulation, enough| {
        simulation.run(enough, ten_times_slower);
        simulation.forget();
        simulation.run(enough, ten_times_slower);
        assert!(within(simulation.lowest, 120, 150));
        assert!(within(simulation.highest, 120, 150));

        simulation.run(enough, usual);
        simulation.forget();
        simulation.run(enough, usual);
        assert!(within(simulation.lowest, 12, 16));
        assert!(within(simulation.highest, 12, 16));
    });
}

#[test]
fn calls_that_hang_do_not_make_it_longer() {
    for share in [0.01, 0.05] {
        settled(20, |simulation, enough| {
            let hanging = |rng: &mut SmallRng| usual(rng).filter(|_| rng.random::<f64>() >= share);
            simulation.run(10 * enough, hanging);

            // Less than twice the 13 ms.
            assert!(within(simulation.lowest, 12, 15));
            assert!(within(simulation.highest, 12, 26));
        });
    }
}

#[test]
fn calls_that_hang_after_a_shift_do_not_make_it_longer() {
    settled(5, |simulation, enough| {
        simulation.run(2 * enough, ten_times_slower);
        simulation.run(enough, usual);
        simulation.forget();
        simulation.run(5 * enough, |rng| {
            usual(rng).filter(|_| rng.random::<f64>() >= 0.01)
        });

        assert!(within(simulation.highest, 12, 26));
    });
}

#[test]
fn does_not_grow_while_the_service_is_dead() {
    settled(5, |simulation, enough| {
        let (rate, before) = (1_000_000_000 / simulation.gap, simulation.timeout());
        simulation.run(60 * rate, |_| None);
        let grown = simulation.highest.div_duration_f64(before);
        assert!(grown <= 1.1, "{grown} at {rate} a second");

        simulation.run(enough, usual);
        assert!(within(simulation.timeout(), 12, 15));
    });
}

/// From an even service to one in which a call in a thousand takes a hundred times as long as most.
const DEVIATIONS: [f64; 5] = [0.5, 2.0, 5.0, 10.0, 30.0];

/// Checks that few calls are cut off falsely after the service has become twenty times slower.
fn cuts_few(deviation: f64, rate: u64, seed: u64, calls: u64) {
    let durations = lognormal(5.0, deviation);
    let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
    let enough = 4 * (2 * rate).max(5_000);
    simulation.run(enough, |rng| Some(durations.sample(rng)));
    let slow = |rng: &mut SmallRng| Some(20.0 * durations.sample(rng));
    simulation.run(enough, slow);
    simulation.forget();
    simulation.run(calls, slow);

    let share = simulation.falsely as f64 / simulation.calls as f64;
    let percent = 100.0 * share;
    println!("deviation {deviation}, {rate} a second: {percent:.2} % cut off");
    assert!(share <= Adaptive::MAX_CUT, "{share} of {deviation}");
    assert!(simulation.explored <= simulation.calls / 100 + 4);
}

#[test]
fn cuts_off_few_calls_that_would_have_ended() {
    for deviation in DEVIATIONS {
        for rate in [1_000, 20_000] {
            cuts_few(deviation, rate, 1, 200_000);
        }
    }
}

#[test]
#[ignore = "takes a minute"]
fn cuts_off_few_of_a_million_calls_that_would_have_ended() {
    for deviation in DEVIATIONS {
        for rate in [100, 1_000, 8_100, 20_000, 100_000] {
            for seed in 0..scaled(3) {
                cuts_few(deviation, rate, seed, 1_000_000);
            }
        }
    }
}

/// What was waited for before is forgotten before a slow call has ended.
#[test]
fn cuts_off_few_of_those_that_are_rarely_much_slower() {
    for (most, few, share) in [
        (5.0, 200.0, 0.02),
        (5.0, 1_000.0, 0.02),
        (20.0, 1_000.0, 0.03),
    ] {
        for rate in [100, 1_000, 10_000] {
            for seed in 0..scaled(2) {
                let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
                let calls =
                    |rng: &mut SmallRng| Some(if rng.random_bool(share) { few } else { most });
                let enough = 4 * (2 * rate).max(5_000);
                simulation.run(enough, calls);
                simulation.forget();
                simulation.run(enough, calls);

                let cut = simulation.falsely as f64 / simulation.calls as f64;
                println!("{few} ms in {share}, {rate} a second: {cut} cut off");
                assert!(cut <= Adaptive::MAX_CUT, "{cut} at {rate}, {few} ms");
            }
        }
    }
}

/// A hedge after 20 milliseconds above it: the loser is dropped when the other one is answered.
fn hedged(rng: &mut SmallRng) -> Option<f64> {
    Some(20.0 + rarely_slow(rng).unwrap())
}

/// One call in 25 takes half a second.
fn rarely_slow(rng: &mut SmallRng) -> Option<f64> {
    if rng.random_bool(0.04) {
        Some(500.0)
    } else {
        usual(rng)
    }
}

#[test]
fn stays_above_the_delay_of_a_hedge_that_drops_slow_calls() {
    for rate in [100, 8_100] {
        for seed in 0..scaled(3) {
            let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
            simulation.patience = hedged;
            let enough = (2 * rate).max(5_000);
            simulation.run(enough, rarely_slow);
            simulation.forget();
            simulation.run(5 * enough, rarely_slow);

            let share = simulation.falsely as f64 / simulation.calls as f64;
            let lowest = simulation.lowest;
            println!("{rate} a second: {share} cut off, at least {lowest:?}");
            assert!(share <= Adaptive::MAX_CUT, "{share} at {rate}");
            assert!(lowest >= 20 * MS, "{lowest:?} at {rate}");
        }
    }
}

#[test]
fn rises_above_the_delay_of_a_hedge_when_calls_become_slow() {
    for rate in [100, 8_100] {
        for seed in 0..scaled(3) {
            let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
            simulation.patience = hedged;
            let enough = (2 * rate).max(5_000);
            simulation.run(2 * enough, usual);
            assert!(within(simulation.timeout(), 12, 15));
            simulation.run(enough, rarely_slow);
            simulation.forget();
            simulation.run(5 * enough, rarely_slow);

            let share = simulation.falsely as f64 / simulation.calls as f64;
            println!("{rate} a second: {share} cut off");
            assert!(share <= Adaptive::MAX_CUT, "{share} at {rate}");
        }
    }
}

/// One call in five takes a while.
fn often_slow(rng: &mut SmallRng) -> Option<f64> {
    if rng.random_bool(0.2) {
        Some(rng.random_range(200.0..800.0))
    } else {
        usual(rng)
    }
}

fn hardly_anybody_waits(rng: &mut SmallRng) -> Option<f64> {
    rng.random_bool(0.9).then_some(100.0)
}

#[test]
fn who_waits_is_waited_for_though_most_callers_give_up() {
    for rate in [100, 8_100] {
        for seed in 0..scaled(3) {
            let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
            simulation.patience = hardly_anybody_waits;
            let enough = 4 * (2 * rate).max(5_000);
            simulation.run(enough, often_slow);
            simulation.forget();
            simulation.run(5 * enough, often_slow);

            let share = simulation.falsely as f64 / simulation.patient as f64;
            let (lowest, highest) = (simulation.lowest, simulation.highest);
            println!("{rate} a second: {share} cut off, {lowest:?} to {highest:?}");
            assert!(share <= Adaptive::MAX_CUT, "{share} at {rate}");
        }
    }
}

#[test]
fn a_dead_service_whose_callers_give_up_does_not_make_it_longer() {
    for rate in [20, 1_000] {
        for seed in 0..scaled(3) {
            let mut simulation = Simulation::new(Adaptive::default(), rate, seed);
            let enough = (2 * rate).max(5_000);
            simulation.run(3 * enough, usual);
            let before = simulation.timeout();
            simulation.patience = |_| Some(8.0);
            simulation.forget();
            simulation.run(60 * rate, |_| None);

            let grown = simulation.highest.div_duration_f64(before);
            println!("{rate} a second: {grown}");
            assert!(grown <= 1.5, "{grown} at {rate} a second");
        }
    }
}

#[test]
fn calls_that_hang_until_they_are_given_up_do_not_make_it_longer() {
    for share in [0.1, 0.5, 1.0] {
        settled(3, |simulation, enough| {
            simulation.patience = |_| Some(1_000.0);
            simulation.run(5 * enough, |rng| {
                usual(rng).filter(|_| rng.random::<f64>() >= share)
            });

            assert!(within(simulation.highest, 12, 26), "{share}");
        });
    }
}

#[test]
fn the_warm_up_is_spent_with_the_initial_timeout() {
    let adaptive = Adaptive {
        initial: Some(Duration::from_secs(1)),
        ..Adaptive::default()
    };
    let mut simulation = Simulation::new(adaptive, 100, 1);

    simulation.run(99, usual);
    assert_eq!(simulation.timeout(), Duration::from_secs(1));

    simulation.run(5, usual);
    assert!(within(simulation.timeout(), 10, 16));
}

#[test]
fn leaves_its_initial_timeout_where_that_cuts_all_calls_off() {
    let adaptive = Adaptive {
        initial: Some(Duration::from_millis(10)),
        ..Adaptive::default()
    };
    let mut simulation = Simulation::new(adaptive, 100, 1);

    simulation.run(5_000, ten_times_slower);

    assert!(within(simulation.timeout(), 100, 150));
}
