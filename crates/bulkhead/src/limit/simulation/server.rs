use std::collections::VecDeque;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt as _, SeedableRng};
use rand_distr::{Distribution, Exp1, LogNormal};
use tokio::time::Instant;

use super::gathered::Gathered;
use crate::{Limit, LimitAlgorithm, Sample};

/// How long the service works on a call, in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) enum Service {
    Exponential { mean: f64 },
    LogNormal { mean: f64, variation: f64 },
}

impl Service {
    /// Makes a closure that draws: what is the same each time is computed once.
    fn draws(self) -> Box<dyn Fn(&mut SmallRng) -> f64> {
        match self {
            Self::Exponential { mean } => {
                Box::new(move |rng| mean * Distribution::<f64>::sample(&Exp1, rng))
            }
            Self::LogNormal { mean, variation } => {
                let variance = variation.mul_add(variation, 1.0).ln();
                let times = LogNormal::new(mean.ln() - variance / 2.0, variance.sqrt()).unwrap();
                Box::new(move |rng| times.sample(rng))
            }
        }
    }

    /// The share of calls that the service has done before callers give up, if none waits.
    pub(super) fn share_in_time(self) -> f64 {
        const DRAWS: usize = 200_000;
        let mut rng = SmallRng::seed_from_u64(0);
        let draw = self.draws();
        let in_time = (0..DRAWS).filter(|_| draw(&mut rng) <= TIMEOUT).count();
        in_time as f64 / DRAWS as f64
    }
}

/// A time in which nothing changes but by chance.
#[derive(Clone, Copy, Debug)]
pub(super) struct Phase {
    /// How long it lasts, in seconds.
    pub(super) length: f64,
    /// How many calls come a second, at any time.
    pub(super) rate: f64,
    /// How many calls the service works on at once. The others wait in the order in which they
    /// come.
    pub(super) workers: usize,
    pub(super) service: Service,
    /// The share of calls that fail at once, and are no work.
    pub(super) fail_fast: f64,
}

impl Default for Phase {
    fn default() -> Self {
        Self {
            length: 60.0,
            rate: 800.0,
            workers: 16,
            service: Service::Exponential { mean: 0.010 },
            fail_fast: 0.0,
        }
    }
}

/// What callers see of a phase.
#[derive(Clone, Debug, Default)]
pub(super) struct Report {
    /// How many calls a second were served in time.
    pub(super) goodput: f64,
    /// The share of the calls that were refused.
    pub(super) refused: f64,
    /// The 50th and the 99th percentile latency of the calls that were served in time.
    pub(super) p50: f64,
    pub(super) p99: f64,
    /// The 99th percentile of the time that calls wait at the service.
    pub(super) wait_p99: f64,
    /// The limit: its mean over time, and at the end.
    pub(super) mean_limit: f64,
    pub(super) limit: usize,
}

impl Report {
    /// Adds so much of another to a mean.
    fn add(&mut self, other: &Self, share: f64) {
        self.goodput += other.goodput * share;
        self.refused += other.refused * share;
        self.p50 += other.p50 * share;
        self.p99 += other.p99 * share;
        self.wait_p99 += other.wait_p99 * share;
        self.mean_limit += other.mean_limit * share;
        self.limit = self.limit.max(other.limit);
    }
}

/// A caller gives up on a call after this time. The worker does not know, and works on.
const TIMEOUT: f64 = 0.100;

#[derive(Debug)]
struct Call {
    arrived: f64,
    is_over: bool,
    has_begun: bool,
}

/// What happens next, and when.
enum Event {
    Arrival,
    Completion(usize),
    Timeout,
    PhaseEnd,
}

struct Simulation<'a> {
    limit: &'a mut dyn LimitAlgorithm,
    /// What the limit is now.
    room: usize,
    phase: Phase,
    draw: Box<dyn Fn(&mut SmallRng) -> f64>,
    rng: SmallRng,
    start: Instant,
    now: f64,
    arrival: f64,
    in_flight: usize,
    /// All calls from the oldest that is not over, and the number of calls before it.
    calls: VecDeque<Call>,
    gone: usize,
    /// The calls that wait for a worker, and those that have one, with when they are done.
    queue: VecDeque<usize>,
    busy: Vec<(f64, usize)>,
    latencies: Vec<f64>,
    waits: Vec<f64>,
    refused: f64,
    limit_seconds: f64,
}

/// Runs the phases one after the other against one limit, and reports each.
pub(super) fn simulate(limit: &mut dyn LimitAlgorithm, phases: &[Phase], seed: u64) -> Vec<Report> {
    let mut simulation = Simulation {
        room: limit.limit(),
        limit,
        phase: phases[0],
        draw: phases[0].service.draws(),
        rng: SmallRng::seed_from_u64(seed),
        // Far from the beginning of the machine's clock.
        start: Instant::now() + Duration::from_secs(3_600),
        now: 0.0,
        arrival: 0.0,
        in_flight: 0,
        calls: VecDeque::new(),
        gone: 0,
        queue: VecDeque::new(),
        busy: Vec::new(),
        latencies: Vec::new(),
        waits: Vec::new(),
        refused: 0.0,
        limit_seconds: 0.0,
    };
    phases.iter().map(|phase| simulation.run(*phase)).collect()
}

impl Simulation<'_> {
    fn run(&mut self, phase: Phase) -> Report {
        self.phase = phase;
        self.draw = phase.service.draws();
        let end = self.now + phase.length;
        self.arrival = self.now + self.gap();
        loop {
            let (at, event) = self.next(end);
            self.limit_seconds += self.room as f64 * (at - self.now);
            self.now = at;
            match event {
                Event::Arrival => self.arrive(),
                Event::Completion(worker) => self.complete(worker),
                Event::Timeout => self.give_up(),
                Event::PhaseEnd => return self.report(),
            }
            self.work();
        }
    }

    fn gap(&mut self) -> f64 {
        Distribution::<f64>::sample(&Exp1, &mut self.rng) / self.phase.rate
    }

    fn next(&mut self, end: f64) -> (f64, Event) {
        while self.calls.front().is_some_and(|call| call.is_over) {
            self.calls.pop_front();
            self.gone += 1;
        }
        let timeout = self.calls.front().map(|call| call.arrived + TIMEOUT);
        let mut next = (end, Event::PhaseEnd);
        for (worker, (done, _)) in self.busy.iter().enumerate() {
            if *done < next.0 {
                next = (*done, Event::Completion(worker));
            }
        }
        if let Some(timeout) = timeout
            && timeout < next.0
        {
            next = (timeout, Event::Timeout);
        }
        if self.arrival < next.0 {
            if self.in_flight < self.room {
                return (self.arrival, Event::Arrival);
            }
            // So are, on average, all that come from then on until there is room.
            self.refused += 1.0 + self.phase.rate * (next.0 - self.arrival);
            self.arrival = next.0 + self.gap();
        }
        next
    }

    fn arrive(&mut self) {
        self.arrival = self.now + self.gap();
        if self.phase.fail_fast > 0.0 && self.rng.random_bool(self.phase.fail_fast) {
            // An error that says nothing about how busy the service is: there is no sample.
            return;
        }
        self.in_flight += 1;
        self.queue.push_back(self.gone + self.calls.len());
        self.calls.push_back(Call {
            arrived: self.now,
            is_over: false,
            has_begun: false,
        });
    }

    fn complete(&mut self, worker: usize) {
        let (_, call) = self.busy.swap_remove(worker);
        let Some(call) = call.checked_sub(self.gone).map(|i| &mut self.calls[i]) else {
            return;
        };
        if !call.is_over {
            call.is_over = true;
            let latency = self.now - call.arrived;
            self.latencies.push(latency);
            self.end(latency, false);
        }
    }

    fn give_up(&mut self) {
        let call = &mut self.calls[0];
        call.is_over = true;
        if !call.has_begun {
            self.waits.push(TIMEOUT);
        }
        self.end(TIMEOUT, true);
    }

    fn end(&mut self, duration: f64, dropped: bool) {
        self.limit.sample(&Sample {
            ended: self.start + Duration::from_secs_f64(self.now),
            duration: Duration::from_secs_f64(duration),
            in_flight: self.in_flight,
            dropped,
        });
        self.in_flight -= 1;
        self.room = self.limit.limit();
    }

    fn work(&mut self) {
        while self.busy.len() < self.phase.workers {
            let Some(call) = self.queue.pop_front() else {
                return;
            };
            if let Some(i) = call.checked_sub(self.gone) {
                let waited = self.now - self.calls[i].arrived;
                self.calls[i].has_begun = true;
                if !self.calls[i].is_over {
                    self.waits.push(waited);
                }
            }
            let takes = (self.draw)(&mut self.rng);
            self.busy.push((self.now + takes, call));
        }
    }

    fn report(&mut self) -> Report {
        let length = self.phase.length;
        let mut latencies = std::mem::take(&mut self.latencies);
        let mut waits = std::mem::take(&mut self.waits);
        Report {
            goodput: latencies.len() as f64 / length,
            refused: std::mem::take(&mut self.refused) / (self.phase.rate * length),
            p50: quantile(&mut latencies, 0.50),
            p99: quantile(&mut latencies, 0.99),
            wait_p99: quantile(&mut waits, 0.99),
            mean_limit: std::mem::take(&mut self.limit_seconds) / length,
            limit: self.room,
        }
    }
}

fn quantile(values: &mut [f64], p: f64) -> f64 {
    let rank = (values.len() as f64 * p) as usize;
    match rank < values.len() {
        true => *values.select_nth_unstable_by(rank, f64::total_cmp).1,
        false => 0.0,
    }
}

/// Runs phases against a limit as it is in a bulkhead, with seeds 0 to 19, and returns the means.
pub(super) fn means(limit: &Limit, phases: &[Phase]) -> Vec<Report> {
    means_of(20, |seed| Box::new(Gathered::new(limit, seed)), phases)
}

/// Runs phases with so many seeds, from 0 on, and returns the means. `limit` is the highest.
pub(super) fn means_of(
    seeds: u64,
    make: impl Fn(u64) -> Box<dyn LimitAlgorithm>,
    phases: &[Phase],
) -> Vec<Report> {
    let mut means = vec![Report::default(); phases.len()];
    for seed in 0..seeds {
        let reports = simulate(&mut *make(seed), phases, seed);
        for (mean, report) in means.iter_mut().zip(reports) {
            mean.add(&report, 1.0 / seeds as f64);
        }
    }
    means
}
