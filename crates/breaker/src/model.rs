//! The circuit beside a slow and obvious model of it, over random sequences of whatever can happen.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::Instant;
use watertight_core::{Failure, FailureKind, Mode, Name, Outcome, Pending, Window};
use watertight_metrics::Registry;

use crate::admit::Admission;
use crate::circuit::Circuit;
use crate::counts::{Count, Counts};
use crate::permit::Permit;
use crate::phase::Phase;
use crate::{BreakerConfig, OpenBackoff, Recovery, State};

const MS: Duration = Duration::from_millis(1);

/// What the model keeps of a call in flight.
#[derive(Clone, Copy, Debug)]
struct Called {
    generation: u32,
    started: Option<Instant>,
    is_probe: bool,
    /// Whether the head has voted, and whether against the service.
    voted: Option<bool>,
}

/// What was heard of a call.
#[derive(Clone, Copy, Debug)]
enum Heard {
    Success,
    Failure(Failure),
    /// Nobody waited for its result, and it was slow.
    Nothing,
}

#[derive(Clone, Copy, Debug)]
struct Kept {
    at: Instant,
    weight: f64,
    is_slow: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stand {
    Closed,
    Open(Instant),
    HalfOpen {
        until: Instant,
        in_flight: u32,
        finished: u32,
        failed: f64,
    },
    Recovering(Instant),
    ForcedOpen,
    ForcedClosed,
}

/// A breaker that keeps every record and looks at all of them, whose timers run before all else.
struct Model {
    config: BreakerConfig,
    now: Instant,
    stand: Stand,
    generation: u32,
    failed_recoveries: u32,
    window: VecDeque<Kept>,
    /// From when on the buckets of a window of time are counted.
    epoch: Instant,
    row: u32,
    counts: [u64; 7],
}

impl Model {
    fn new(config: BreakerConfig, now: Instant) -> Self {
        Self {
            config,
            now,
            stand: Stand::Closed,
            generation: 0,
            failed_recoveries: 0,
            window: VecDeque::new(),
            epoch: now,
            row: 0,
            counts: [0; 7],
        }
    }

    fn state(&self) -> State {
        match self.stand {
            Stand::Closed => State::Closed,
            Stand::Open(_) => State::Open,
            Stand::HalfOpen { .. } => State::HalfOpen,
            Stand::Recovering(_) => State::Recovering,
            Stand::ForcedOpen => State::ForcedOpen,
            Stand::ForcedClosed => State::ForcedClosed,
        }
    }

    fn enter(&mut self, stand: Stand) {
        self.stand = stand;
        self.generation += 1;
        if !matches!(stand, Stand::Open(_)) {
            self.window.clear();
            self.row = 0;
        }
        if stand == Stand::Closed {
            self.failed_recoveries = 0;
        }
    }

    fn force(&mut self, stand: Stand) {
        self.failed_recoveries = 0;
        self.enter(stand);
    }

    fn open(&mut self, from: Instant) {
        let mut time = self.config.open_for;
        if let Some(backoff) = self.config.open_backoff {
            for _ in 0..self.failed_recoveries {
                time = time.mul_f64(backoff.factor).min(backoff.max);
            }
        }
        self.enter(Stand::Open(from + time));
    }

    /// Lets time pass.
    fn pass(&mut self, time: Duration) {
        self.now += time;
        match self.stand {
            Stand::HalfOpen {
                until,
                in_flight,
                failed,
                ..
            } if self.now >= until && (in_flight > 0 || failed > 0.0) => {
                self.failed_recoveries += 1;
                self.open(until);
            }
            Stand::HalfOpen {
                until, finished, ..
            } if self.now >= until => {
                self.stand = Stand::HalfOpen {
                    until: self.now + self.half_open_for(),
                    in_flight: 0,
                    finished,
                    failed: 0.0,
                };
            }
            Stand::Recovering(since) => match self.config.recovery {
                Recovery::Ramp(ramp) if self.now < since + ramp.over => {}
                Recovery::Ramp(_) | Recovery::Immediate => self.enter(Stand::Closed),
            },
            _ => {}
        }
    }

    fn half_open_for(&self) -> Duration {
        let time = self.config.half_open_timeout;
        time.unwrap_or(self.config.open_for)
    }

    /// A call comes, or would have come if the service were ready.
    fn end_open_time(&mut self) {
        if matches!(self.stand, Stand::Open(until) if self.now >= until) {
            self.enter(Stand::HalfOpen {
                until: self.now + self.half_open_for(),
                in_flight: 0,
                finished: 0,
                failed: 0.0,
            });
        }
    }

    fn count(&mut self, count: Count) {
        self.counts[count as usize] += 1;
    }

    /// Says how a call is refused, or what is kept of it. On a ramp it goes by what the circuit
    /// decided: that is for another test.
    fn admit(&mut self, passes_ramp: bool) -> Result<Called, Option<Duration>> {
        self.end_open_time();
        let mut is_probe = false;
        match &mut self.stand {
            Stand::Closed | Stand::ForcedClosed => {}
            Stand::Recovering(_) if passes_ramp => {}
            Stand::HalfOpen { in_flight, .. } if *in_flight < self.config.half_open_calls => {
                *in_flight += 1;
                is_probe = true;
            }
            Stand::Open(until) => return Err(Some(*until - self.now)),
            Stand::ForcedOpen | Stand::Recovering(_) | Stand::HalfOpen { .. } => return Err(None),
        }
        Ok(Called {
            generation: self.generation,
            started: self.config.slow_call.map(|_| self.now),
            is_probe,
            voted: None,
        })
    }

    fn is_slow(&self, call: &Called) -> bool {
        match (call.started, self.config.slow_call) {
            (Some(started), Some(threshold)) => self.now - started > threshold,
            _ => false,
        }
    }

    fn give_back(&mut self, call: &Called) {
        if let Stand::HalfOpen { in_flight, .. } = &mut self.stand
            && call.is_probe
            && call.generation == self.generation
        {
            *in_flight -= 1;
        }
    }

    fn head(&mut self, call: &mut Called, outcome: &Outcome) {
        let is_bad = match outcome {
            Outcome::Success => false,
            Outcome::Failure(failure) if failure.kind != FailureKind::Rejected => true,
            Outcome::Failure(_) | Outcome::Ignored => return,
        };
        if is_bad || call.is_probe {
            self.end(call, outcome);
            call.voted = Some(is_bad);
            call.is_probe = false;
        }
    }

    fn end(&mut self, call: &Called, outcome: &Outcome) {
        if let Some(failed) = call.voted {
            if let Outcome::Failure(failure) = outcome
                && failure.kind != FailureKind::Rejected
                && !failed
                && call.generation == self.generation
            {
                self.take(call, Heard::Failure(*failure), false);
            }
            return;
        }
        let heard = match outcome {
            Outcome::Success => Heard::Success,
            Outcome::Failure(failure) if failure.kind != FailureKind::Rejected => {
                Heard::Failure(*failure)
            }
            Outcome::Failure(_) | Outcome::Ignored => {
                self.count(Count::Ignored);
                self.give_back(call);
                return;
            }
        };
        if call.generation != self.generation {
            self.count(Count::Stale);
            return;
        }
        self.count(match heard {
            Heard::Failure(_) => Count::Failure,
            Heard::Success | Heard::Nothing => Count::Success,
        });
        self.take(call, heard, self.is_slow(call));
    }

    fn cancel(&mut self, call: &Called) {
        if call.voted.is_some() {
            return;
        }
        self.count(Count::Cancelled);
        if call.generation == self.generation && self.is_slow(call) {
            self.take(call, Heard::Nothing, true);
        } else {
            self.give_back(call);
        }
    }

    fn take(&mut self, call: &Called, heard: Heard, is_slow: bool) {
        let failure = match heard {
            Heard::Failure(failure) => Some(failure),
            Heard::Success | Heard::Nothing => None,
        };
        let limited = failure.is_some_and(|it| it.kind == FailureKind::RateLimited);
        let weight = failure.map_or(0.0, |it| f64::from(it.weight).max(0.0));
        let obeyed = failure
            .and_then(|it| it.retry_after)
            .filter(|_| self.config.obey_retry_after);

        if let Stand::HalfOpen {
            in_flight,
            finished,
            failed,
            ..
        } = &mut self.stand
        {
            let weight = if is_slow || limited { 1.0 } else { weight };
            *in_flight -= u32::from(call.is_probe);
            *finished += 1;
            *failed += weight.min(1.0);
            let (finished, rate) = (*finished, *failed / f64::from(*finished));

            let enough = finished >= self.config.close_after;
            let opens = match self.config.half_open_failure_rate {
                None => weight > 0.0,
                Some(limit) => enough && rate >= limit,
            };
            if opens || obeyed.is_some() {
                self.failed_recoveries += 1;
                match obeyed {
                    Some(after) => self.enter(Stand::Open(self.now + after)),
                    None => self.open(self.now),
                }
            } else if enough {
                self.enter(match self.config.recovery {
                    Recovery::Immediate => Stand::Closed,
                    Recovery::Ramp(_) => Stand::Recovering(self.now),
                });
            }
            return;
        }

        self.window.push_back(Kept {
            at: self.now,
            weight: (weight * 1_000.0).round() / 1_000.0,
            is_slow,
        });
        match heard {
            Heard::Success => self.row = 0,
            Heard::Failure(_) if !limited && weight > 0.0 => self.row += 1,
            Heard::Failure(_) | Heard::Nothing => {}
        }
        if matches!(self.stand, Stand::ForcedOpen | Stand::ForcedClosed) {
            return;
        }
        let trips = self.trips();
        if obeyed.is_some() || trips {
            self.failed_recoveries += u32::from(matches!(self.stand, Stand::Recovering(_)));
            match obeyed {
                Some(after) => self.enter(Stand::Open(self.now + after)),
                None => self.open(self.now),
            }
        }
    }

    /// The records that count: calls, weights, slow calls.
    fn sums(&mut self) -> (usize, f64, usize) {
        match (self.config.window.size(), bucket_of(&self.config.window)) {
            (Some(size), _) => {
                while self.window.len() > size as usize {
                    self.window.pop_front();
                }
            }
            (None, Some((width, buckets))) => {
                let number = |at: Instant| (at - self.epoch).as_millis() / width.as_millis();
                let now = number(self.now);
                self.window.retain(|it| number(it.at) + buckets > now);
            }
            (None, None) => unreachable!("no model of a decaying window"),
        }
        let weights: f64 = self.window.iter().map(|it| it.weight).sum();
        let slow = self.window.iter().filter(|it| it.is_slow).count();
        (self.window.len(), weights, slow)
    }

    fn trips(&mut self) -> bool {
        let (calls, weights, slow) = self.sums();
        let config = &self.config;
        let needed = config
            .window
            .size()
            .map_or(config.min_calls, |size| config.min_calls.min(size));
        if config.consecutive_failures > 0 && self.row >= config.consecutive_failures {
            return true;
        }
        if calls == 0 || calls < needed as usize {
            return false;
        }
        // In thousandths, where a sum is exact.
        let rate = ((weights * 1_000.0).round() / (calls as f64 * 1_000.0)).min(1.0);
        config.failure_rate > 0.0 && rate >= config.failure_rate
            || config.slow_call.is_some()
                && config.slow_rate > 0.0
                && slow as f64 / calls as f64 >= config.slow_rate
    }

    fn reconfigure(&mut self, config: BreakerConfig) {
        if config.window != self.config.window {
            self.window.clear();
            self.row = 0;
            self.epoch = self.now;
        }
        self.config = config;
        self.pass(Duration::ZERO);
    }
}

/// The width of the buckets of a window of time, and how many there are.
fn bucket_of(window: &Window) -> Option<(Duration, u128)> {
    (*window == TIME).then_some((Duration::from_millis(100), 10))
}

const TIME: Window = Window::time(Duration::from_secs(1));

#[derive(Clone, Debug)]
enum Step {
    Start,
    Head(usize, Outcome),
    End(usize, Outcome),
    Drop(usize),
    Pass(u64),
    ForceOpen,
    ForceClosed,
    OpenFor(u64),
    Reset,
    NotReady,
    Mode(Mode),
    Configure(usize),
}

fn outcome() -> impl Strategy<Value = Outcome> {
    let failure = |kind| Just(Outcome::failure(kind));
    let weight = prop_oneof![
        Just(0.5_f32),
        Just(0.0),
        Just(f32::NAN),
        Just(-1.0),
        Just(3.0)
    ];
    prop_oneof![
        12 => Just(Outcome::Success),
        6 => failure(FailureKind::Server),
        2 => failure(FailureKind::RateLimited),
        1 => failure(FailureKind::Rejected),
        1 => Just(Outcome::Ignored),
        2 => weight.prop_map(|weight| Failure::new(FailureKind::Server).weight(weight).into()),
        1 => (1..400_u64).prop_map(|ms| {
            let after = Some(Duration::from_millis(ms));
            Failure::new(FailureKind::Overloaded).retry_after(after).into()
        }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => Just(Step::Start),
        4 => (any::<usize>(), outcome()).prop_map(|(call, outcome)| Step::Head(call, outcome)),
        16 => (any::<usize>(), outcome()).prop_map(|(call, outcome)| Step::End(call, outcome)),
        3 => any::<usize>().prop_map(Step::Drop),
        8 => (0..250_u64).prop_map(Step::Pass),
        1 => Just(Step::Pass(1_500)),
        1 => Just(Step::ForceOpen),
        1 => Just(Step::ForceClosed),
        1 => (1..500_u64).prop_map(Step::OpenFor),
        2 => Just(Step::Reset),
        1 => Just(Step::NotReady),
        1 => prop_oneof![Just(Mode::Enforce), Just(Mode::Shadow), Just(Mode::Off)].prop_map(Step::Mode),
        1 => (0..4_usize).prop_map(Step::Configure),
    ]
}

fn config() -> impl Strategy<Value = BreakerConfig> {
    let rates = (
        prop_oneof![Just(0.5), Just(0.3), Just(0.0), Just(1.0)],
        prop_oneof![Just(1.0), Just(0.5)],
        0..8_u32,
        prop_oneof![Just(0_u32), 1..4_u32],
        prop_oneof![
            Just(Window::calls(1)),
            Just(Window::calls(6)),
            Just(Window::calls(20)),
            Just(TIME)
        ],
        prop_oneof![Just(None), Just(Some(100 * MS))],
    );
    let recovery = (
        1..4_u32,
        1..4_u32,
        prop_oneof![Just(None), Just(Some(0.5)), Just(Some(1.0))],
        prop_oneof![Just(None), Just(Some(150 * MS))],
        prop_oneof![Just(Recovery::Immediate), Just(Recovery::ramp(500 * MS))],
        any::<bool>(),
        any::<bool>(),
    );
    (rates, recovery).prop_map(|(rates, recovery)| BreakerConfig {
        failure_rate: rates.0,
        slow_rate: rates.1,
        min_calls: rates.2,
        consecutive_failures: rates.3,
        window: rates.4,
        slow_call: rates.5,
        half_open_calls: recovery.0,
        close_after: recovery.1,
        half_open_failure_rate: recovery.2,
        half_open_timeout: recovery.3,
        recovery: recovery.4,
        obey_retry_after: recovery.5,
        open_for: 200 * MS,
        open_backoff: recovery.6.then_some(OpenBackoff {
            factor: 2.0,
            max: 700 * MS,
        }),
        ..BreakerConfig::default()
    })
}

/// The circuit and its model, which are told the same.
struct Both {
    circuit: Circuit,
    model: Model,
    in_flight: Vec<(Permit, Called)>,
}

impl Both {
    fn new(config: &BreakerConfig) -> Self {
        let now = Instant::now();
        let name = Name::new("model");
        let reporter = Registry::new().reporter(Counts::KIND, name);
        let counts = Arc::new(Counts::new(name, reporter.clone()));
        Self {
            circuit: Circuit::new(config.clone(), Pending::new(), counts, reporter, now),
            model: Model::new(config.clone(), now),
            in_flight: Vec::new(),
        }
    }

    fn start(&mut self) -> Result<(), TestCaseError> {
        let now = self.model.now;
        let mode = self.model.config.mode;
        let foreseen = self.circuit.foresee(|| now);
        let admission = self.circuit.admit(|| now);
        let passed = matches!(admission, Admission::Admitted(_));
        if mode == Mode::Off {
            prop_assert!(matches!(admission, Admission::Unwatched));
            return Ok(());
        }

        let expected = self.model.admit(passed);
        match (admission, expected) {
            (Admission::Admitted(permit), Ok(call)) => {
                prop_assert!(foreseen.is_none());
                self.in_flight.push((permit, call));
            }
            (Admission::Unwatched, Err(_)) if mode == Mode::Shadow => {
                self.model.count(Count::RejectedInShadow);
            }
            (Admission::Refused(refusal), Err(retry_after)) => {
                prop_assert_eq!(refusal.retry_after, retry_after);
                let on_ramp = matches!(self.model.stand, Stand::Recovering(_));
                prop_assert!(on_ramp || foreseen.is_some());
                // The service counts it.
                self.circuit.note_refusal(mode, || now);
                self.model.count(Count::Rejected);
            }
            (admission, expected) => prop_assert!(false, "{admission:?}, not {expected:?}"),
        }
        Ok(())
    }

    fn run(&mut self, step: &Step, configs: &[BreakerConfig]) -> Result<(), TestCaseError> {
        let now = self.model.now;
        match step {
            Step::Start => self.start()?,
            Step::Head(..) | Step::End(..) | Step::Drop(_) if self.in_flight.is_empty() => {}
            Step::Head(call, outcome) => {
                let call = call % self.in_flight.len();
                let (permit, call) = &mut self.in_flight[call];
                // A response has one head.
                if call.voted.is_none() {
                    self.circuit.head(permit, outcome, || now);
                    self.model.head(call, outcome);
                }
            }
            Step::End(call, outcome) => {
                let (permit, call) = self.in_flight.swap_remove(call % self.in_flight.len());
                self.circuit.end(&permit, outcome, || now);
                self.model.end(&call, outcome);
            }
            Step::Drop(call) => {
                let (permit, call) = self.in_flight.swap_remove(call % self.in_flight.len());
                self.circuit.cancel(&permit, || now);
                self.model.cancel(&call);
            }
            Step::Pass(ms) => self.model.pass(Duration::from_millis(*ms)),
            Step::ForceOpen => {
                self.circuit.force(Phase::ForcedOpen, now);
                self.model.force(Stand::ForcedOpen);
            }
            Step::ForceClosed => {
                self.circuit.force(Phase::ForcedClosed, now);
                self.model.force(Stand::ForcedClosed);
            }
            Step::OpenFor(ms) => {
                let time = Duration::from_millis(*ms);
                self.circuit.open_for(time, now);
                self.model.force(Stand::Open(now + time));
            }
            Step::Reset => {
                self.circuit.force(Phase::Closed, now);
                self.model.force(Stand::Closed);
            }
            Step::NotReady => {
                self.circuit.readiness_failed(now);
                if self.model.config.mode == Mode::Off {
                    return Ok(());
                }
                self.model.end_open_time();
                if !matches!(self.model.stand, Stand::Open(_)) {
                    let call = Called {
                        generation: self.model.generation,
                        started: None,
                        is_probe: false,
                        voted: None,
                    };
                    let outcome = Outcome::failure(FailureKind::Connect);
                    self.model.end(&call, &outcome);
                }
            }
            Step::Mode(mode) => {
                self.circuit.set_mode(*mode);
                self.model.config.mode = *mode;
            }
            Step::Configure(config) => {
                let config = &configs[config % configs.len()];
                self.circuit.reconfigure(config, now);
                self.model.reconfigure(config.clone());
            }
        }
        Ok(())
    }

    fn compare(&mut self) -> Result<(), TestCaseError> {
        let model = &mut self.model;
        let snapshot = self.circuit.snapshot(model.now);
        prop_assert_eq!(snapshot.state, model.state());
        prop_assert_eq!(snapshot.failed_recoveries, model.failed_recoveries);
        if let Stand::HalfOpen { in_flight, .. } = model.stand {
            prop_assert_eq!(snapshot.probes_in_flight, in_flight);
        }
        if !matches!(model.stand, Stand::Open(_)) {
            let (calls, weights, slow) = model.sums();
            prop_assert_eq!(snapshot.standing.calls, calls as u64);
            prop_assert!((snapshot.standing.failures - weights).abs() < 1e-6);
            prop_assert_eq!(snapshot.standing.slow, slow as u64);
            prop_assert_eq!(snapshot.standing.consecutive_failures, model.row);
        }
        for count in Count::EACH {
            let mut seen = self.circuit.counts.total(count);
            if matches!(count, Count::Success) {
                seen += self.circuit.pending.total();
            }
            prop_assert_eq!(seen, model.counts[count as usize], "{:?}", count);
        }
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_circuit_does_what_its_model_does(
        configs in vec(config(), 4),
        steps in vec(step(), 1..150),
    ) {
        let mut both = Both::new(&configs[0]);
        for step in &steps {
            both.run(step, &configs)?;
            both.compare()?;
        }
    }

    #[test]
    fn a_ramp_passes_the_sum_of_its_shares(gaps in vec(0..40_u64, 1..200)) {
        let over = Duration::from_secs(2);
        let config = BreakerConfig {
            close_after: 1,
            recovery: Recovery::ramp(over),
            ..BreakerConfig::default()
        };
        let both = Both::new(&config);
        both.circuit.open_for(MS, both.model.now);
        let start = both.model.now + MS;
        let Admission::Admitted(probe) = both.circuit.admit(|| start) else {
            return Err(TestCaseError::fail("no probe"));
        };
        both.circuit.end(&probe, &Outcome::Success, || start);

        let (mut now, mut passed, mut shares) = (start, 0.0, 0.0);
        for gap in gaps {
            now += Duration::from_millis(gap);
            let done = (now - start).as_secs_f64() / over.as_secs_f64();
            shares += (0.1 + 0.9 * done).min(1.0);
            if let Admission::Admitted(permit) = both.circuit.admit(|| now) {
                both.circuit.end(&permit, &Outcome::Success, || now);
                passed += 1.0;
            }
            prop_assert!((passed - shares).abs() <= 1.001, "{} {}", passed, shares);
        }
    }
}
